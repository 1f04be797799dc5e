import { compact } from "../lib/format";
import { type Point, RealTimeChart } from "../parts/chart";
import { Empty, Panel } from "../parts/parts";
import { shown } from "./stages";
import type { Trend } from "./use-fleet";

/** How the cluster went since this page looks, some minutes at most. */
export function Trends({ of }: { of: readonly Trend[] }) {
  const line = (value: (it: Trend) => number | undefined): readonly Point[] =>
    of.flatMap((it) => {
      const found = value(it);
      return found === undefined ? [] : [{ time: it.time, value: found }];
    });
  const [rate, late] = [line(({ rate }) => rate), line(({ p99 }) => p99)];
  const newest = of[of.length - 1];
  return (
    <div className="columns">
      <Panel title="Messages from the store, per second">
        <Line data={rate} label={`Messages from the store, now ${compact(newest?.rate)} a second`} digits={1} />
      </Panel>
      <Panel title="p99 from emitter to edge, milliseconds">
        <Line
          data={late}
          label={`p99 from emitter to edge, now ${shown(newest?.p99 === undefined ? undefined : { ms: newest.p99, isBeyond: false })}`}
          digits={1}
        />
      </Panel>
    </div>
  );
}

function Line({ data, label, digits }: { data: readonly Point[]; label: string; digits: number }) {
  if (data.length > 1) return <RealTimeChart kind="line" data={data} label={label} digits={digits} />;
  return (
    <div className="chart">
      <Empty title="Looking…">The line begins with the third report.</Empty>
    </div>
  );
}
