import { useState } from "react";
import { bytes, compact, count, NOTHING, words } from "../lib/format";
import { Age, Badge, MetricDisplay, Panel, RealTimeMetrics } from "../parts/parts";
import { Fault } from "./cluster";
import type { Activity } from "./fleet";
import type { useFleet } from "./use-fleet";

const CLUSTER = "";

/** How much passes, of the cluster or of one edge. */
export function Traffic({ of: { polled, cluster, nodes } }: { of: ReturnType<typeof useFleet> }) {
  const [chosen, setChosen] = useState(CLUSTER);
  const one = nodes.find(([node]) => node === chosen);
  // An edge that is gone was not chosen.
  const shown = one ? one[1] : cluster;
  return (
    <Panel
      title="Traffic"
      aside={
        <>
          <select aria-label="Traffic of" value={one ? chosen : CLUSTER} onChange={(event) => setChosen(event.target.value)}>
            <option value={CLUSTER}>Cluster</option>
            {nodes.map(([node]) => (
              <option key={node} value={node}>
                {node}
              </option>
            ))}
          </select>
          <Age at={polled.at} limit={8_000} />
        </>
      }
    >
      {shown ? <Figures of={shown} /> : <Fault of={polled} />}
    </Panel>
  );
}

function Figures({ of: { connections, channels, totals, rates } }: { of: Activity }) {
  const perSecond = (value: number | undefined) => (value === undefined ? NOTHING : `${compact(value)}/s`);
  const slow = totals.closes[4430] ?? 0;
  return (
    <>
      <RealTimeMetrics label="Traffic">
        <MetricDisplay label="Connections" value={count(connections)} />
        <MetricDisplay label="Channels held" value={count(channels)} />
        <MetricDisplay label="In" value={perSecond(rates.publicationsIn)} note="messages from the store" />
        <MetricDisplay
          label="Out"
          value={perSecond(rates.messagesOut)}
          note={rates.bytesOut === undefined ? NOTHING : `${bytes(rates.bytesOut)}/s`}
        />
        <MetricDisplay label="Commands" value={perSecond(rates.commands)} />
        <MetricDisplay label="Waiting" value={bytes(totals.outboxBytes)} note="for slow readers" />
      </RealTimeMetrics>
      <h3>Slow clients and losses, since the edges began</h3>
      <RealTimeMetrics label="Slow clients">
        <MetricDisplay label="Closed as too slow" value={count(slow)} tone={slow ? "down" : "flat"} />
        <MetricDisplay label="Dropped (volatile)" value={count(totals.dropped)} />
        <MetricDisplay label="Conflated (latest)" value={count(totals.conflated)} />
        <MetricDisplay label="Holes repaired" value={count(totals.gaps)} />
        <MetricDisplay label="Resets" value={count(totals.resets)} />
        <MetricDisplay label="Rate limited" value={count(totals.rateLimited)} />
      </RealTimeMetrics>
      <Ends of={totals} />
    </>
  );
}

/** Whom the edges sent away, and why. */
function Ends({ of: { closes, refusals } }: { of: Activity["totals"] }) {
  const entries = [
    ...Object.entries(closes).map(([code, value]) => [`closed ${code}`, value, "idle"] as const),
    ...Object.entries(refusals).map(([reason, value]) => [`refused, ${words(reason)}`, value, "warn"] as const),
  ].filter(([, value]) => value > 0);
  if (entries.length === 0) return null;
  return (
    <p className="muted small chips">
      {entries.map(([name, value, tone]) => (
        <Badge key={name} tone={tone}>
          {name}: {count(value)}
        </Badge>
      ))}
    </p>
  );
}
