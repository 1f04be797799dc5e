import { useTickwire } from "@tickwire/client/react";
import { useEffect, useState } from "react";
import { decimal, digitsOf, number } from "../lib/format";
import { type Bar, type Point, RealTimeChart } from "../parts/chart";
import { Badge, Empty, Panel } from "../parts/parts";
import { channelOf, parts, quoteOf } from "./quotes";

interface CandleData {
  interval?: string;
  openTime?: number;
  open?: string;
  high?: string;
  low?: string;
  close?: string;
  replayed?: boolean;
}

const INTERVALS = ["1m", "5m", "1h"] as const;
const BARS_MAX = 500;

/** A live list of one channel's points by their time: the newest of a moment counts. */
function useSeries<T extends { time: number }>(
  channel: string | undefined,
  pointOf: (data: unknown, time: number) => T | undefined,
) {
  const client = useTickwire();
  const [series, setSeries] = useState<Series<T>>(nothingOf(undefined));
  // biome-ignore lint/correctness/useExhaustiveDependencies: `pointOf` has no state of its own.
  useEffect(() => {
    if (!channel) return;
    const byTime = new Map<number, T>();
    let [replayed, isLoading, isOver] = [false, true, false];
    let frame = 0;
    const take = (data: unknown, time: number) => {
      const point = pointOf(data, time);
      if (!point) return;
      replayed ||= (data as CandleData).replayed === true;
      byTime.set(point.time, point);
      draw();
    };
    const draw = () => {
      if (isOver) return;
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        const points = [...byTime.values()].sort((a, b) => a.time - b.time).slice(-BARS_MAX);
        if (byTime.size > 2 * BARS_MAX) {
          byTime.clear();
          for (const it of points) byTime.set(it.time, it);
        }
        setSeries({ of: channel, points, replayed, isLoading });
      });
    };
    const subscription = client.subscribe<string, unknown>(channel);
    subscription.on("message", ({ data, time }) => take(data, time));
    subscription.on("subscribed", ({ first }) => {
      if (!first) return;
      client
        .history(channel, { reverse: true, limit: BARS_MAX })
        .then(
          ({ messages }) => messages.forEach((it) => void take(it.data, it.time)),
          // Live ones will come.
          () => {},
        )
        .finally(() => {
          isLoading = false;
          draw();
        });
    });
    // What is not served has no past.
    subscription.on("error", () => {
      isLoading = false;
      draw();
    });
    return () => {
      isOver = true;
      cancelAnimationFrame(frame);
      subscription.unsubscribe();
    };
  }, [client, channel]);
  return series.of === channel ? series : nothingOf<T>(channel);
}

/** Points of a channel, oldest first. */
interface Series<T> {
  of: string | undefined;
  points: readonly T[];
  replayed: boolean;
  /** Its past is on its way. */
  isLoading: boolean;
}

const nothingOf = <T,>(of: string | undefined): Series<T> => ({ of, points: [], replayed: false, isLoading: of !== undefined });

function barOf(data: unknown): Bar | undefined {
  const it = data as CandleData;
  const [open, high, low, close] = [number(it.open), number(it.high), number(it.low), number(it.close)];
  if (it.openTime === undefined || open === undefined || high === undefined || low === undefined || close === undefined) return;
  return { time: Math.floor(it.openTime / 1000), open, high, low, close };
}

/** The price of an instrument: candles where a feed makes them, else a line of what came since the page was opened. */
export function PriceChart({ id }: { id: string }) {
  const { exchange, symbol } = parts(id);
  const [interval, setInterval] = useState<(typeof INTERVALS)[number]>("1m");
  const candles = useSeries<Bar>(exchange && `candles:${exchange}:${symbol}:${interval}`, barOf);
  const line = useSeries<Point>(channelOf(id), (data, time) => {
    const value = number(quoteOf(id, { data, time }, undefined).last);
    return value === undefined ? undefined : { time: Math.floor(time / 1000), value };
  });
  const hasCandles = candles.points.length > 0;
  const newest = hasCandles ? candles.points[candles.points.length - 1]?.close : line.points[line.points.length - 1]?.value;
  const digits = digitsOf(newest === undefined ? [] : [String(newest)], 8) || 2;
  const label = `Price of ${symbol}, newest ${decimal(newest)}`;
  return (
    <Panel
      title={`${symbol}${exchange ? ` · ${exchange}` : ""}`}
      aside={
        <>
          {(candles.replayed || line.replayed) && <Badge tone="info">replayed</Badge>}
          {exchange && (
            <fieldset className="segments">
              <legend className="sr-only">Candles of</legend>
              {INTERVALS.map((it) => (
                <label key={it}>
                  <input type="radio" name="interval" checked={interval === it} onChange={() => setInterval(it)} />
                  {it}
                </label>
              ))}
            </fieldset>
          )}
        </>
      }
    >
      {hasCandles ? (
        <RealTimeChart kind="candles" data={candles.points} digits={Math.min(digits, 6)} label={label} />
      ) : candles.isLoading ? (
        // Not a line that makes way for candles a moment later.
        <div className="chart">
          <Empty title="Loading…" />
        </div>
      ) : line.points.length > 1 ? (
        <RealTimeChart kind="line" data={line.points} digits={Math.min(digits, 6)} label={label} />
      ) : (
        <div className="chart">
          <Empty title="Waiting for prices">The line begins with the second price that arrives.</Empty>
        </div>
      )}
    </Panel>
  );
}
