import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useMemo, useRef, useState } from "react";

/** A column of a table. */
export interface Column<Row> {
  id: string;
  title: string;
  /** What the cell shows. */
  cell: (row: Row) => ReactNode;
  /** What the column sorts by; without it, it does not sort. */
  sortBy?: (row: Row) => number | string | undefined;
  numeric?: boolean;
  /** Part of the width: 1 unless given. */
  grow?: 1 | 2 | 3;
  /** Takes what width the others leave; long text ends in an ellipsis. One a table. */
  fills?: boolean;
  /** Of buttons, whose title would say nothing to the eye. */
  isActions?: boolean;
  /** Left out on narrow screens. */
  wideOnly?: boolean;
}

interface Order {
  column: string;
  descending: boolean;
}

/** Rows higher than the screen shows are not in the page; heights are fixed, so that nothing shifts. */
export function DataTable<Row>(props: {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  initialOrder?: Order;
  selected?: string | undefined;
  onSelect?: (row: Row) => void;
  classOf?: (row: Row) => string;
  empty: ReactNode;
  /** Rows that are shown at once at most. */
  height?: "short" | "tall" | "fill";
  rowHeight?: number;
}) {
  const {
    label,
    columns,
    rows,
    keyOf,
    initialOrder,
    selected,
    onSelect,
    classOf,
    empty,
    height = "tall",
    rowHeight = 36,
  } = props;
  const [order, setOrder] = useState<Order | undefined>(initialOrder);
  const scroller = useRef<HTMLDivElement>(null);
  const sorted = useMemo(() => sort(rows, columns, order), [rows, columns, order]);
  const virtual = useVirtualizer({
    count: sorted.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    initialRect: { width: 600, height: 400 },
  });
  const items = virtual.getVirtualItems();
  const before = items[0]?.start ?? 0;
  const after = virtual.getTotalSize() - (items[items.length - 1]?.end ?? 0);
  const turn = (column: string) =>
    setOrder((last) => (last?.column === column ? { column, descending: !last.descending } : { column, descending: true }));
  if (rows.length === 0) return <div className={`table-empty table-${height}`}>{empty}</div>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
    <div className={`table-scroll table-${height}`} ref={scroller} tabIndex={0} role="region" aria-label={label}>
      <table className="table" aria-rowcount={sorted.length + 1}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.id}
                scope="col"
                className={classes(column)}
                aria-sort={order?.column === column.id ? (order.descending ? "descending" : "ascending") : undefined}
              >
                {column.sortBy ? (
                  <button type="button" onClick={() => turn(column.id)}>
                    {column.title}
                    <span aria-hidden="true" className="sort-mark">
                      {order?.column === column.id ? (order.descending ? "▾" : "▴") : ""}
                    </span>
                  </button>
                ) : (
                  <span className={column.isActions ? "sr-only" : undefined}>{column.title}</span>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {before > 0 && <tr aria-hidden="true" style={{ height: before }} />}
          {items.map(({ index }) => {
            const row = sorted[index];
            if (row === undefined) return null;
            const key = keyOf(row);
            return (
              <tr
                key={key}
                aria-rowindex={index + 2}
                aria-current={selected === undefined ? undefined : selected === key}
                className={`${selected === key ? "selected" : ""} ${onSelect ? "clickable" : ""} ${classOf?.(row) ?? ""}`}
                style={{ height: rowHeight }}
                onClick={onSelect && (() => onSelect(row))}
              >
                {columns.map((column) => (
                  <td key={column.id} className={classes(column)}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
          {after > 0 && <tr aria-hidden="true" style={{ height: after }} />}
        </tbody>
      </table>
    </div>
  );
}

function classes<Row>({ numeric, grow = 1, wideOnly, fills, isActions }: Column<Row>): string {
  if (isActions) return "actions";
  return `${numeric ? "num right" : ""} ${fills ? "fills" : `grow-${grow}`} ${wideOnly ? "wide-only" : ""}`;
}

/** Stable; what has no value comes last either way. */
export function sort<Row>(rows: readonly Row[], columns: readonly Column<Row>[], order: Order | undefined): readonly Row[] {
  const by = columns.find((column) => column.id === order?.column)?.sortBy;
  if (!by || !order) return rows;
  const sign = order.descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [by(a), by(b)];
    if (left === undefined || right === undefined) return Number(left === undefined) - Number(right === undefined);
    return left < right ? -sign : left > right ? sign : 0;
  });
}
