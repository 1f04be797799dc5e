import {
  AreaSeries,
  BaselineSeries,
  CandlestickSeries,
  ColorType,
  createChart,
  type IChartApi,
  type ISeriesApi,
  type UTCTimestamp,
} from "lightweight-charts";
import { useEffect, useRef } from "react";
import { decimal } from "../lib/format";
import { useSignal } from "../lib/signals";
import { colour, theme } from "../shell/theme";

/** A point of a line: seconds since the epoch and a value. */
export interface Point {
  time: number;
  value: number;
}

/** A candle: seconds since the epoch, and four prices. */
export interface Bar {
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
}

type Props = { label: string; digits?: number; height?: number } & (
  | { kind: "line" | "gain"; data: readonly Point[] }
  | { kind: "candles"; data: readonly Bar[] }
);

/** Shows all of it, with room at both ends so that the outermost times are not cut. */
function showAll(api: IChartApi, points: number): void {
  const room = Math.max(0.2, points * 0.05);
  if (points > 1) api.timeScale().setVisibleLogicalRange({ from: -room, to: points - 1 + room });
  else api.timeScale().fitContent();
}

/** A live chart; a gain is drawn above and below nothing. Its canvas is no text, so `label` says what the newest value is, for those who listen. */
export function RealTimeChart(props: Props) {
  const { label, kind, data, digits = 2 } = props;
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<{ api: IChartApi; series: ISeriesApi<"Area" | "Baseline" | "Candlestick"> }>(undefined);
  const drawn = useRef<readonly { time: number }[]>([]);
  const shown = useSignal(theme);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme has other colours.
  useEffect(() => {
    if (!place.current) return;
    const api = createChart(place.current, {
      autoSize: true,
      layout: {
        background: { type: ColorType.Solid, color: "transparent" },
        textColor: colour("--muted"),
        fontFamily: colour("--font"),
        fontSize: 11,
        // Credited in the menu: the mark would bring a style sheet that the content security policy refuses.
        attributionLogo: false,
      },
      grid: { vertLines: { color: colour("--line-faint") }, horzLines: { color: colour("--line-faint") } },
      rightPriceScale: { borderVisible: false },
      timeScale: {
        borderVisible: false,
        timeVisible: true,
        secondsVisible: kind !== "candles",
        allowBoldLabels: kind === "candles",
      },
      // Cut as the figures beside it are; what a float lost is far behind.
      localization: { priceFormatter: (price: number) => decimal(price.toFixed(8), digits) },
      handleScroll: { mouseWheel: false, vertTouchDrag: false },
      handleScale: { mouseWheel: false },
    });
    const format = { type: "price", precision: digits, minMove: 1 / 10 ** digits } as const;
    const [up, down] = [colour("--up"), colour("--down")];
    const series: ISeriesApi<"Area" | "Baseline" | "Candlestick"> =
      kind === "candles"
        ? api.addSeries(CandlestickSeries, {
            upColor: up,
            downColor: down,
            wickUpColor: up,
            wickDownColor: down,
            borderVisible: false,
            priceFormat: format,
          })
        : kind === "gain"
          ? api.addSeries(BaselineSeries, {
              baseValue: { type: "price", price: 0 },
              topLineColor: up,
              topFillColor1: colour("--up-faint"),
              topFillColor2: "transparent",
              bottomLineColor: down,
              bottomFillColor1: "transparent",
              bottomFillColor2: colour("--down-faint"),
              lineWidth: 2,
              priceFormat: format,
            })
          : api.addSeries(AreaSeries, {
              lineColor: colour("--accent"),
              topColor: colour("--accent-faint"),
              bottomColor: "transparent",
              lineWidth: 2,
              priceFormat: format,
            });
    chart.current = { api, series };
    drawn.current = [];
    return () => {
      chart.current = undefined;
      api.remove();
    };
  }, [kind, digits, shown]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a chart made anew is drawn anew.
  useEffect(() => {
    if (!chart.current) return;
    const { api, series } = chart.current;
    const last = drawn.current;
    const [first, tail] = [data[0], data[data.length - 1]];
    // What only grows at its end is told as an update: a thousand points a frame are not.
    const grows =
      last.length > 0 && last[0]?.time === first?.time && data.length - last.length <= 1 && data.length >= last.length;
    if (grows && tail) {
      // Whoever looks at all of it goes on doing so; whoever looked closer at a part keeps that.
      const isWhole = (api.timeScale().getVisibleLogicalRange()?.from ?? 0) <= 0;
      series.update({ ...tail, time: tail.time as UTCTimestamp });
      if (isWhole) showAll(api, data.length);
    } else {
      series.setData(data.map((it) => ({ ...it, time: it.time as UTCTimestamp })) as never);
      showAll(api, data.length);
    }
    drawn.current = data;
  }, [data, kind, digits, shown]);
  return <div className="chart" ref={place} role="img" aria-label={label} />;
}
