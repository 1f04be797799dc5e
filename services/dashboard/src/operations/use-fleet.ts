import { useEffect, useMemo, useState } from "react";
import { call, type Polled, usePolled } from "../lib/services";
import { type Activity, activityOf, bucketQuantile, type Looks, look, type NodeEntry, together } from "./fleet";

/** How often the edges' reports are asked for; each edge makes one a second. */
const REPORTS_MS = 2_000;

interface Listing {
  nodes: readonly NodeEntry[];
  healthy: boolean;
}

/** What the cluster did at a moment: seconds since the epoch, messages a second, and milliseconds. */
export interface Trend {
  time: number;
  rate: number | undefined;
  p99: number | undefined;
}

/** Looks that are kept: five minutes. */
const TREND_MAX = 150;

/** With one moment more; a cluster that has been looked at once has no rate yet. */
export function trendOf(before: readonly Trend[], cluster: Activity | undefined, time: number): readonly Trend[] {
  if (cluster?.windowMs === undefined || before[before.length - 1]?.time === time) return before;
  const { delivery, rates } = cluster;
  const p99 = bucketQuantile(delivery.boundsUs, delivery.total, 0.99)?.ms;
  return [...before, { time, rate: rates.publicationsIn, p99 }].slice(-TREND_MAX);
}

/** What the edges do, alone and together. */
export interface Fleet {
  nodes: readonly (readonly [string, Activity | undefined])[];
  cluster: Activity | undefined;
  trend: readonly Trend[];
}

/** Asks the emitter, which every page reaches that an operator may use: edges' own metrics are for the inside of a cluster. */
export function useFleet(): { polled: Polled<Listing> } & Fleet {
  const polled = usePolled(() => call<Listing>("emitter", "/v1/nodes"), REPORTS_MS);
  const [looks, setLooks] = useState<Looks>(new Map());
  const [trend, setTrend] = useState<readonly Trend[]>([]);
  const listed = polled.value?.nodes;
  useEffect(() => {
    if (listed) setLooks((before) => look(before, listed));
  }, [listed]);
  const fleet = useMemo(() => {
    const nodes = [...looks].map(([node, seen]) => [node, activityOf(seen)] as const);
    return { nodes, cluster: together(nodes.flatMap(([, activity]) => activity ?? [])) };
  }, [looks]);
  useEffect(() => {
    setTrend((before) => trendOf(before, fleet.cluster, Math.floor(Date.now() / 1_000)));
  }, [fleet.cluster]);
  return { polled, ...fleet, trend };
}
