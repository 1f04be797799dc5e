import { useEffect, useMemo, useState } from "react";
import { call, type Polled, usePolled } from "../lib/services";
import { type Activity, activityOf, type Looks, look, type NodeEntry, together } from "./fleet";

/** How often the edges' reports are asked for; each edge makes one a second. */
const REPORTS_MS = 2_000;

interface Listing {
  nodes: readonly NodeEntry[];
  healthy: boolean;
}

/** What the edges do, alone and together. */
export interface Fleet {
  nodes: readonly (readonly [string, Activity | undefined])[];
  cluster: Activity | undefined;
}

/** Asks the emitter, which every page reaches that an operator may use: edges' own metrics are for the inside of a cluster. */
export function useFleet(): { polled: Polled<Listing> } & Fleet {
  const polled = usePolled(() => call<Listing>("emitter", "/v1/nodes"), REPORTS_MS);
  const [looks, setLooks] = useState<Looks>(new Map());
  const listed = polled.value?.nodes;
  useEffect(() => {
    if (listed) setLooks((before) => look(before, listed));
  }, [listed]);
  const fleet = useMemo(() => {
    const nodes = [...looks].map(([node, seen]) => [node, activityOf(seen)] as const);
    return { nodes, cluster: together(nodes.flatMap(([, activity]) => activity ?? [])) };
  }, [looks]);
  return { polled, ...fleet };
}
