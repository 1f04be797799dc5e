import { type FormEvent, useMemo, useState } from "react";
import { useIsOld } from "../lib/clock";
import { compact, decimal, digitsOf, number, percent } from "../lib/format";
import { Age, Badge, Empty, Panel } from "../parts/parts";
import { type Column, DataTable } from "../parts/table";
import { type Board, parts, type Quote, useQuote, useQuotes } from "./quotes";

/** A price this old is shown as old, milliseconds. */
const OLD_MS = 15_000;

/** The watch list: rows move at a calm pace, cells at once. */
export function WatchList(props: {
  board: Board;
  selected: string;
  onSelect: (id: string) => void;
  onAdd: (id: string) => string | undefined;
  onRemove: (id: string) => void;
}) {
  const { board, selected, onSelect, onAdd, onRemove } = props;
  const quotes = useQuotes(board);
  const columns = useMemo<readonly Column<Quote>[]>(
    () => [
      {
        id: "instrument",
        title: "Instrument",
        sortBy: ({ id }) => parts(id).symbol,
        cell: ({ id }) => <Name id={id} isSelected={id === selected} onSelect={onSelect} />,
        grow: 3,
      },
      {
        id: "last",
        title: "Price",
        numeric: true,
        grow: 2,
        sortBy: ({ last }) => number(last),
        cell: ({ id }) => <Price board={board} id={id} />,
      },
      {
        id: "change",
        title: "24 h",
        numeric: true,
        sortBy: ({ change }) => change,
        cell: ({ id }) => <Change board={board} id={id} />,
      },
      {
        id: "spread",
        title: "Bid / Ask",
        numeric: true,
        grow: 3,
        wideOnly: true,
        cell: ({ id }) => <BidAsk board={board} id={id} />,
      },
      {
        id: "volume",
        title: "Volume",
        numeric: true,
        wideOnly: true,
        sortBy: ({ volume }) => number(volume),
        cell: ({ volume }) => compact(number(volume)),
      },
      {
        id: "age",
        title: "Age",
        numeric: true,
        sortBy: ({ time }) => -time,
        cell: ({ id }) => <QuoteAge board={board} id={id} />,
      },
      {
        id: "remove",
        title: "Remove",
        isActions: true,
        cell: ({ id }) => (
          <button
            type="button"
            className="icon-button"
            aria-label={`Remove ${id} from the watch list`}
            onClick={(event) => {
              event.stopPropagation();
              onRemove(id);
            }}
          >
            ×
          </button>
        ),
      },
    ],
    [board, selected, onSelect, onRemove],
  );
  return (
    <Panel title="Watch list" aside={<Add onAdd={onAdd} />} flush>
      <DataTable
        label="Watched instruments"
        columns={columns}
        rows={quotes}
        keyOf={({ id }) => id}
        selected={selected}
        onSelect={({ id }) => onSelect(id)}
        height="tall"
        empty={
          <Empty title="Nothing is watched">Add an instrument such as BTC/USDT, or binance:BTC/USDT for one exchange's.</Empty>
        }
      />
    </Panel>
  );
}

function Name({ id, isSelected, onSelect }: { id: string; isSelected: boolean; onSelect: (id: string) => void }) {
  const { exchange, symbol } = parts(id);
  return (
    <button
      type="button"
      className="link-button"
      aria-pressed={isSelected}
      onClick={(event) => {
        event.stopPropagation();
        onSelect(id);
      }}
    >
      <strong>{symbol}</strong> <span className="muted">{exchange ?? "all"}</span>
    </button>
  );
}

interface CellProps {
  board: Board;
  id: string;
}

function Price({ board, id }: CellProps) {
  const quote = useQuote(board, id);
  const isOld = useIsOld(quote?.time, OLD_MS);
  return (
    <span className={isOld ? "old" : (quote?.moved ?? "flat")}>
      {decimal(quote?.last)}
      {quote?.replayed && <span className="sr-only"> replayed</span>}
    </span>
  );
}

function Change({ board, id }: CellProps) {
  const change = useQuote(board, id)?.change;
  const tone = change === undefined || change === 0 ? "flat" : change > 0 ? "up" : "down";
  return <span className={tone}>{change !== undefined && change > 0 ? `+${percent(change)}` : percent(change)}</span>;
}

function BidAsk({ board, id }: CellProps) {
  const quote = useQuote(board, id);
  const digits = digitsOf([quote?.bid, quote?.ask]);
  return (
    <span>
      {decimal(quote?.bid, digits)} <span className="muted">/</span> {decimal(quote?.ask, digits)}
    </span>
  );
}

function QuoteAge({ board, id }: CellProps) {
  const quote = useQuote(board, id);
  return (
    <>
      {quote?.replayed && (
        <span className="wide-only">
          <Badge tone="info">replayed</Badge>{" "}
        </span>
      )}
      <Age at={quote?.time || undefined} limit={OLD_MS} />
    </>
  );
}

function Add({ onAdd }: { onAdd: (id: string) => string | undefined }) {
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string>();
  const add = (event: FormEvent) => {
    event.preventDefault();
    const wrong = onAdd(text.trim());
    setFault(wrong);
    if (!wrong) setText("");
  };
  return (
    <form onSubmit={add} className="inline-form">
      <input
        aria-label="Add an instrument"
        aria-invalid={fault !== undefined}
        aria-describedby={fault ? "add-fault" : undefined}
        placeholder="binance:BTC/USDT"
        value={text}
        maxLength={100}
        spellCheck={false}
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit" className="button" disabled={text.trim() === ""}>
        Add
      </button>
      {fault && (
        <span id="add-fault" className="fault" role="alert">
          {fault}
        </span>
      )}
    </form>
  );
}
