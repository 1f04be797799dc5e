import type { Message, PositionUpdateData } from "@tickwire/client";
import { decimal, direction, number, signed } from "../lib/format";
import { Age, Empty, Panel } from "../parts/parts";
import { type Column, DataTable } from "../parts/table";

const SESSION: Column<Message<PositionUpdateData>> = {
  id: "session",
  title: "Session",
  fills: true,
  wideOnly: true,
  sortBy: ({ data }) => data.sessionId,
  cell: ({ data }) => data.sessionId ?? "–",
};

/** Open positions with their P&L. */
export function PositionsTable({
  positions,
  title = "Positions",
  isOfOne = false,
}: {
  positions: readonly Message<PositionUpdateData>[];
  title?: string;
  /** They are of one session, which needs no column then. */
  isOfOne?: boolean;
}) {
  return (
    <Panel title={title} flush>
      <DataTable<Message<PositionUpdateData>>
        label={`${title} by symbol`}
        rows={positions}
        keyOf={({ data }) => `${data.sessionId ?? ""} ${data.symbol}`}
        initialOrder={{ column: "symbol", descending: false }}
        height="short"
        empty={<Empty title="No open position">Whatever is held is listed here, from its first fill on.</Empty>}
        columns={[
          {
            id: "symbol",
            title: "Symbol",
            grow: 2,
            sortBy: ({ data }) => data.symbol,
            cell: ({ data }) => <strong>{data.symbol}</strong>,
          },
          ...(isOfOne ? [] : [SESSION]),
          {
            id: "quantity",
            title: "Quantity",
            numeric: true,
            sortBy: ({ data }) => number(data.quantity),
            cell: ({ data }) => decimal(data.quantity),
          },
          { id: "entry", title: "Entry", numeric: true, wideOnly: true, cell: ({ data }) => decimal(data.entryPrice) },
          { id: "mark", title: "Mark", numeric: true, wideOnly: true, cell: ({ data }) => decimal(data.markPrice) },
          {
            id: "unrealised",
            title: "Unrealised",
            numeric: true,
            sortBy: ({ data }) => number(data.unrealizedPnL),
            cell: ({ data }) => <span className={direction(data.unrealizedPnL)}>{signed(data.unrealizedPnL)}</span>,
          },
          {
            id: "realised",
            title: "Realised",
            numeric: true,
            sortBy: ({ data }) => number(data.realizedPnL),
            cell: ({ data }) => <span className={direction(data.realizedPnL)}>{signed(data.realizedPnL)}</span>,
          },
          {
            id: "age",
            title: "Age",
            numeric: true,
            wideOnly: true,
            sortBy: ({ time }) => -time,
            cell: ({ time }) => <Age at={time} limit={60_000} />,
          },
        ]}
      />
    </Panel>
  );
}
