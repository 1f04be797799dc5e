import { useMemo } from "react";
import { compact, decimal, digitsOf } from "../lib/format";
import { Age, Empty, Panel } from "../parts/parts";
import { useBook } from "./book-view";
import { depthOf, pathOf } from "./depth";

/** How much is bid and asked around the price, added up from the middle outwards. */
export function DepthChart({ exchange, symbol }: { exchange: string | undefined; symbol: string }) {
  const { book, shown } = useBook(exchange, symbol);
  const depth = useMemo(() => depthOf(shown.bids, shown.asks), [shown]);
  if (!exchange) return null;
  return (
    <Panel title="Depth" aside={<Age at={shown.at} limit={5_000} />}>
      {depth ? (
        <figure className={`depth-chart ${book.isLive ? "" : "stale"}`}>
          <svg
            viewBox="0 0 100 100"
            preserveAspectRatio="none"
            role="img"
            aria-label={`Around ${decimal(depth.middle.toFixed(2))}: ${compact(depth.bids.at(-1)?.total)} bid, ${compact(depth.asks.at(-1)?.total)} asked`}
          >
            <path className="depth-bids" d={pathOf(depth.bids, -1, depth)} />
            <path className="depth-asks" d={pathOf(depth.asks, 1, depth)} />
          </svg>
          <figcaption>
            <Edge price={depth.middle - depth.reach} digits={digitsOf(shown.bids.map(([price]) => price))} />
            <span>
              <span className="up num">{compact(depth.bids.at(-1)?.total)}</span> bid ·{" "}
              <span className="down num">{compact(depth.asks.at(-1)?.total)}</span> asked
            </span>
            <Edge price={depth.middle + depth.reach} digits={digitsOf(shown.asks.map(([price]) => price))} />
          </figcaption>
        </figure>
      ) : (
        <div className="depth-chart">
          <Empty title="Waiting for the book">Depth is drawn while both sides of the book are known.</Empty>
        </div>
      )}
    </Panel>
  );
}

function Edge({ price, digits }: { price: number; digits: number }) {
  return <span className="num">{decimal(price.toFixed(digits))}</span>;
}
