import type { BookLevel } from "@tickwire/client";
import type { OrderBookState } from "@tickwire/client/react";
import { decimal, digitsOf, number, sum, words } from "../lib/format";
import { Age, Badge, Empty, Panel, StatusDot, type Tone } from "../parts/parts";
import { type ShownBook, useBook } from "./book-view";

/** Levels a side in the ladder. */
const DEPTH = 12;

/** An exchange's order book with its depth, its state and its age. What is not live does not look live. */
export function OrderBook({ exchange, symbol }: { exchange: string | undefined; symbol: string }) {
  const { book, shown } = useBook(exchange, symbol);
  if (!exchange) {
    return (
      <Panel title="Order book">
        <Empty title="A book belongs to one exchange">Watch an instrument such as binance:{symbol} to see its book.</Empty>
      </Panel>
    );
  }
  return (
    <Panel title="Order book" aside={<State book={book} at={shown.at} />} flush>
      {shown.at === undefined && shown.bids.length + shown.asks.length === 0 ? (
        <Nothing book={book} />
      ) : (
        <Ladder book={book} shown={shown} />
      )}
    </Panel>
  );
}

const TONES: Record<string, Tone> = { live: "good", loading: "busy", suspect: "bad", offline: "warn" };

function State({ book, at }: { book: OrderBookState; at: number | undefined }) {
  return (
    <>
      {book.newest?.replayed && <Badge tone="info">replayed</Badge>}
      <StatusDot tone={TONES[book.state] ?? "busy"}>{words(book.state)}</StatusDot>
      <Age at={at} limit={5_000} />
    </>
  );
}

function Nothing({ book }: { book: OrderBookState }) {
  return (
    <Empty title={book.state === "loading" ? "Waiting for the book" : `The book is ${words(book.state)}`}>
      {book.reason ? words(book.reason) : "It appears with the next snapshot of a feed that publishes it."}
    </Empty>
  );
}

function Ladder({ book, shown }: { book: OrderBookState; shown: ShownBook }) {
  const [bids, asks] = [shown.bids.slice(0, DEPTH), shown.asks.slice(0, DEPTH)];
  const all = [...bids, ...asks];
  const digits = {
    price: digitsOf(all.map(([price]) => price)),
    quantity: digitsOf(
      all.map(([, quantity]) => quantity),
      5,
    ),
  };
  const totals = { bid: running(bids), ask: running(asks) };
  const most = Math.max(0, ...[totals.bid, totals.ask].map((of) => number(of[of.length - 1]) ?? 0));
  const row = (side: "bid" | "ask") => (level: BookLevel, index: number) => (
    <Row key={level[0]} level={level} total={totals[side][index] ?? "0"} most={most} digits={digits} side={side} />
  );
  return (
    <div className={`ladder ${book.isLive ? "" : "stale"}`}>
      {!book.isLive && (
        <p className="ladder-warning">Not live: {words(book.reason ?? book.state)}. These are the last known levels.</p>
      )}
      <table>
        <caption className="sr-only">Asks above, bids below, best in the middle</caption>
        <thead>
          <tr>
            <th scope="col">Price</th>
            <th scope="col">Quantity</th>
            <th scope="col">Total</th>
          </tr>
        </thead>
        <tbody className="asks">{asks.map(row("ask")).reverse()}</tbody>
        <tbody>
          <tr className="spread">
            <td colSpan={3}>
              <Spread bid={bids[0]?.[0]} ask={asks[0]?.[0]} digits={digits.price} />
            </td>
          </tr>
        </tbody>
        <tbody className="bids">{bids.map(row("bid"))}</tbody>
      </table>
    </div>
  );
}

/** What there is to the best price and from there to each level. */
export function running(levels: readonly BookLevel[]): readonly string[] {
  let total = "0";
  return levels.map(([, quantity]) => {
    total = sum([total, quantity]);
    return total;
  });
}

/** The distance of the best prices, also in hundredths of a percent of their middle. */
function Spread({ bid, ask, digits }: { bid: string | undefined; ask: string | undefined; digits: number }) {
  const spread = bid === undefined || ask === undefined ? undefined : sum([ask, `-${bid}`]);
  const points = spread === undefined ? undefined : ((number(spread) ?? 0) / (number(bid) || 1)) * 10_000;
  return (
    <>
      Spread <span className="num">{decimal(spread, digits)}</span>
      {points !== undefined && <span className="num"> · {points.toFixed(points < 1 ? 3 : 1)} bp</span>}
    </>
  );
}

function Row(props: {
  level: BookLevel;
  total: string;
  most: number;
  digits: { price: number; quantity: number };
  side: "bid" | "ask";
}) {
  const { level, total, most, digits, side } = props;
  const share = most > 0 ? (number(total) ?? 0) / most : 0;
  return (
    <tr className={side}>
      <td className={`num ${side === "bid" ? "up" : "down"}`}>{decimal(level[0], digits.price)}</td>
      <td className="num right">{decimal(level[1], digits.quantity)}</td>
      <td className="num depth">
        <span className="depth-bar" aria-hidden="true" style={{ transform: `scaleX(${share})` }} />
        <span>{decimal(total, digits.quantity)}</span>
      </td>
    </tr>
  );
}
