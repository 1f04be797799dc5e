/** What edges report of their work, and what became of it between two looks. Reports carry totals since a node's start. */

/** The stages that edges measure of every publication, in its order. */
export const MEASURED = [
  { stage: "backplane", title: "Emitter to store" },
  { stage: "edge", title: "Store to edge" },
  { stage: "socket", title: "Edge to socket" },
  { stage: "total", title: "Emitter to edge" },
] as const;

export type Stage = (typeof MEASURED)[number]["stage"];

/** Counters that only grow. */
type Counter =
  | "publicationsIn"
  | "messagesOut"
  | "bytesOut"
  | "commands"
  | "dropped"
  | "conflated"
  | "gaps"
  | "resets"
  | "rateLimited";
type Groups = "closes" | "refusals";

/** What a node counted since it began; `delivery` by how long it took, in buckets up to `boundsUs` and one above. */
export type Figures = Readonly<Record<Counter, number>> &
  Readonly<Record<Groups, Readonly<Record<string, number>>>> & {
    readonly outboxBytes: number;
    readonly delivery: Readonly<Record<Stage, readonly number[]>> & { readonly boundsUs: readonly number[] };
  };

/** An edge as `/v1/nodes` lists it; one of an older version has no figures. */
export interface NodeEntry {
  node: string;
  connections: number;
  subscriptions: number;
  channels: number;
  ageMs: number;
  /** When it reported, by its own clock. */
  time: number;
  figures?: Figures;
}

/** How far back a rate and a quantile look, milliseconds. */
export const WINDOW_MS = 30_000;

/** What was seen of each node within the window, oldest first. */
export type Looks = ReadonlyMap<string, readonly NodeEntry[]>;

/** With one look more. Of what is older than the window the newest is kept: a page that was hidden has something to compare with. */
export function look(before: Looks, nodes: readonly NodeEntry[]): Looks {
  return new Map(
    nodes.map((entry) => {
      const seen = before.get(entry.node) ?? [];
      if (seen[seen.length - 1]?.time === entry.time) return [entry.node, seen];
      const from = seen.findLastIndex(({ time }) => entry.time - time >= WINDOW_MS);
      return [entry.node, [...seen.slice(Math.max(0, from)), entry]];
    }),
  );
}

/** What happened on some nodes between two looks. */
export interface Activity {
  connections: number;
  channels: number;
  /** Totals since the nodes began. */
  totals: Figures;
  /** Times of publications within `windowMs`; since the nodes began where there was one look only. */
  delivery: Figures["delivery"];
  /** The span that `delivery` covers, if it is not everything. */
  windowMs: number | undefined;
  /** Per second. */
  rates: Readonly<Partial<Record<Counter, number>>>;
}

const add = (a: readonly number[], b: readonly number[], sign = 1) => a.map((value, index) => value + sign * (b[index] ?? 0));

function addDelivery(a: Figures["delivery"], b: Figures["delivery"], sign = 1): Figures["delivery"] {
  // Buckets of another version cannot be added.
  if (a.boundsUs.join() !== b.boundsUs.join()) return a;
  const stage = (name: Stage) => add(a[name], b[name], sign);
  return {
    boundsUs: a.boundsUs,
    backplane: stage("backplane"),
    edge: stage("edge"),
    socket: stage("socket"),
    total: stage("total"),
  };
}

const COUNTERS: readonly Counter[] = [
  "publicationsIn",
  "messagesOut",
  "bytesOut",
  "commands",
  "dropped",
  "conflated",
  "gaps",
  "resets",
  "rateLimited",
];

function addGroups(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Record<string, number> {
  const total: Record<string, number> = { ...a };
  for (const [key, value] of Object.entries(b)) total[key] = (total[key] ?? 0) + value;
  return total;
}

const eachCounter = (value: (name: Counter) => number) =>
  Object.fromEntries(COUNTERS.map((name) => [name, value(name)])) as Record<Counter, number>;

function addFigures(a: Figures, b: Figures): Figures {
  return {
    ...eachCounter((name) => a[name] + b[name]),
    outboxBytes: a.outboxBytes + b.outboxBytes,
    closes: addGroups(a.closes, b.closes),
    refusals: addGroups(a.refusals, b.refusals),
    delivery: addDelivery(a.delivery, b.delivery),
  };
}

/** One node's; nothing of a node that does not say. A restart has another name, so totals never fall. */
export function activityOf(seen: readonly NodeEntry[]): Activity | undefined {
  const [first, last] = [seen[0], seen[seen.length - 1]];
  if (!last?.figures) return undefined;
  const { connections, channels, figures: totals } = last;
  const windowMs = first ? last.time - first.time : 0;
  if (!first?.figures || windowMs <= 0) {
    return { connections, channels, totals, delivery: totals.delivery, windowMs: undefined, rates: {} };
  }
  const before = first.figures;
  return {
    connections,
    channels,
    totals,
    delivery: addDelivery(totals.delivery, before.delivery, -1),
    windowMs,
    rates: eachCounter((name) => ((totals[name] - before[name]) * 1_000) / windowMs),
  };
}

/** Of all of them together. While some have been seen once only, times are told of the others. */
export function together(all: readonly Activity[]): Activity | undefined {
  const measured = all.filter(({ windowMs }) => windowMs !== undefined);
  const told = measured.length > 0 ? measured : all;
  const [first, ...others] = told;
  if (!first) return undefined;
  const sum = (value: (of: Activity) => number) => all.reduce((total, it) => total + value(it), 0);
  return {
    connections: sum(({ connections }) => connections),
    channels: sum(({ channels }) => channels),
    totals: all.map(({ totals }) => totals).reduce(addFigures),
    delivery: others.reduce((total, { delivery }) => addDelivery(total, delivery), first.delivery),
    windowMs: first.windowMs === undefined ? undefined : Math.max(...told.map(({ windowMs }) => windowMs ?? 0)),
    rates: measured.length > 0 ? eachCounter((name) => sum(({ rates }) => rates[name] ?? 0)) : {},
  };
}

/** A quantile out of buckets. */
export interface Quantile {
  ms: number;
  /** It lies above all bounds: `ms` is the highest of them. */
  isBeyond: boolean;
}

/** The time that a share of all took at most, as if they were spread evenly within their bucket; nothing of nothing. */
export function bucketQuantile(boundsUs: readonly number[], counts: readonly number[], share: number): Quantile | undefined {
  const total = counts.reduce((sum, value) => sum + value, 0);
  if (total <= 0) return undefined;
  const rank = share * total;
  let below = 0;
  for (let index = 0; index < boundsUs.length; index += 1) {
    const within = counts[index] ?? 0;
    if (within > 0 && below + within >= rank) {
      const [from, to] = [boundsUs[index - 1] ?? 0, boundsUs[index] ?? 0];
      return { ms: (from + ((to - from) * (rank - below)) / within) / 1_000, isBeyond: false };
    }
    below += within;
  }
  return { ms: (boundsUs[boundsUs.length - 1] ?? 0) / 1_000, isBeyond: true };
}
