import { useChannel } from "@tickwire/client/react";
import { clock, decimal, digitsOf } from "../lib/format";
import { Badge, Empty, Panel } from "../parts/parts";

interface TradeData {
  id?: string;
  price?: string;
  qty?: string;
  side?: "buy" | "sell";
  venueTime?: number;
  replayed?: boolean;
}

const SHOWN = 40;

/** The newest trades of an exchange, newest first. */
export function TradesTape({ exchange, symbol }: { exchange: string | undefined; symbol: string }) {
  const { messages, status, error } = useChannel<string, TradeData>(exchange ? `trades:${exchange}:${symbol}` : null, {
    limit: SHOWN,
  });
  if (!exchange) return null;
  const newest = [...messages].reverse();
  const digits = digitsOf(newest.map(({ data }) => data.price));
  const sizes = digitsOf(
    newest.map(({ data }) => data.qty),
    5,
  );
  const isReplayed = newest.some(({ data }) => data.replayed);
  return (
    <Panel title="Trades" aside={isReplayed && <Badge tone="info">replayed</Badge>} flush>
      {newest.length === 0 ? (
        <Empty title={status === "live" ? "No trade yet" : "Waiting for trades…"}>{error?.message}</Empty>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
        <div className="tape" role="region" aria-label="Newest trades" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col" className="right">
                  Price
                </th>
                <th scope="col" className="right">
                  Quantity
                </th>
              </tr>
            </thead>
            <tbody>
              {newest.map(({ data, time }, index) => (
                <tr key={data.id ?? `${time}-${newest.length - index}`}>
                  <td className="num muted">{clock(data.venueTime ?? time)}</td>
                  <td className={`num right ${data.side === "sell" ? "down" : "up"}`}>
                    <span className="sr-only">{data.side} </span>
                    {decimal(data.price, digits)}
                  </td>
                  <td className="num right">{decimal(data.qty, sizes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
