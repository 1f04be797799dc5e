import { compact, NOTHING, span } from "../lib/format";
import type { Polled } from "../lib/services";
import { Age, Empty, Panel } from "../parts/parts";
import { type Activity, bucketQuantile, MEASURED, type Quantile, type Stage } from "./fleet";
import type { Fleet } from "./use-fleet";

const SHARES = [0.5, 0.95, 0.99] as const;
/** Above which a time looks slow, and very slow. */
const [SLOW_MS, BAD_MS] = [100, 1_000];

/** How long publications took from stage to stage: the cluster's, and each edge's. */
export function Stages({ of: { polled, cluster, nodes } }: { of: { polled: Polled<unknown> } & Fleet }) {
  const rows: readonly (readonly [string, Activity | undefined])[] = [["Cluster", cluster], ...nodes];
  return (
    <Panel
      title="Latency by stage"
      flush
      aside={
        <>
          {cluster && <span className="muted small num">{windowOf(cluster)}</span>}
          <Age at={polled.at} limit={8_000} />
        </>
      }
    >
      {cluster ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
        <div className="table-scroll table-short" role="region" aria-label="Latency by stage and edge" tabIndex={0}>
          <table className="table stages">
            <thead>
              <tr>
                <th scope="col" rowSpan={2}>
                  Edge
                </th>
                {MEASURED.map(({ stage, title }) => (
                  <th key={stage} scope="colgroup" colSpan={SHARES.length} className="stage">
                    {title}
                  </th>
                ))}
                <th scope="col" rowSpan={2} className="right stage">
                  Messages
                </th>
              </tr>
              <tr>
                {MEASURED.flatMap(({ stage }) =>
                  SHARES.map((share) => (
                    <th key={`${stage} ${share}`} scope="col" className={`right ${share === SHARES[0] ? "stage" : ""}`}>
                      p{share * 100}
                    </th>
                  )),
                )}
              </tr>
            </thead>
            <tbody>
              {rows.map(([name, activity]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  {MEASURED.map(({ stage }) => (
                    <Times key={stage} of={activity} stage={stage} />
                  ))}
                  <td className="num right stage">
                    {activity?.rates.publicationsIn === undefined ? NOTHING : `${compact(activity.rates.publicationsIn)}/s`}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <Empty title={polled.value ? "No edge tells its times" : "Nothing to show"}>{polled.error?.message}</Empty>
      )}
      <p className="muted small foot">
        Out of the edges' histograms. Between machines by their clocks; to sockets, the oldest message of each round of writes.
      </p>
    </Panel>
  );
}

function Times({ of, stage }: { of: Activity | undefined; stage: Stage }) {
  return SHARES.map((share) => {
    const found = of && bucketQuantile(of.delivery.boundsUs, of.delivery[stage], share);
    return (
      <td key={share} className={`num right ${tone(found)} ${share === SHARES[0] ? "stage" : ""}`}>
        {shown(found)}
      </td>
    );
  });
}

const tone = (of: Quantile | undefined) => (!of || of.ms < SLOW_MS ? "" : of.ms < BAD_MS ? "slow" : "down");

/** Machines' clocks tell whole milliseconds, so less than one is not told apart. */
export function shown(of: Quantile | undefined): string {
  if (!of) return NOTHING;
  if (of.isBeyond) return `> ${span(of.ms)}`;
  if (of.ms < 1) return "< 1 ms";
  return of.ms < 9.95 ? `${of.ms.toFixed(1)} ms` : span(of.ms);
}

const windowOf = ({ windowMs }: Activity) =>
  windowMs === undefined ? "since the edges began" : `over the last ${span(windowMs)}`;
