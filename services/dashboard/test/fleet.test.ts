import { describe, expect, test } from "vitest";
import { activityOf, bucketQuantile, type Figures, look, type NodeEntry, together, WINDOW_MS } from "../src/operations/fleet";
import { shown } from "../src/operations/stages";
import { trendOf } from "../src/operations/use-fleet";

const BOUNDS = [250, 1_000, 5_000];

/** A report of `node` at a time, after so many messages, all of whose times fell into one bucket. */
function report(node: string, time: number, messages: number, bucket = 1): NodeEntry {
  const counts = [0, 0, 0, 0];
  counts[bucket] = messages;
  const delivery = { boundsUs: BOUNDS, backplane: counts, edge: counts, socket: counts, total: counts };
  const figures: Figures = {
    publicationsIn: messages,
    messagesOut: 2 * messages,
    bytesOut: 100 * messages,
    commands: 1,
    outboxBytes: 10,
    dropped: 0,
    conflated: 0,
    gaps: 0,
    resets: 0,
    rateLimited: 0,
    closes: { 4430: 1 },
    refusals: {},
    delivery,
  };
  return { node, connections: 3, subscriptions: 4, channels: 2, ageMs: 0, time, figures };
}

const seen = (...reports: readonly NodeEntry[]) =>
  reports.reduce<ReturnType<typeof look>>((looks, it) => look(looks, [it]), new Map());

describe("an edge's activity", () => {
  test("is the difference of what it reported within the window", () => {
    const looks = seen(report("a", 0, 100), report("a", 1_000, 150), report("a", 4_000, 300));
    const activity = activityOf(looks.get("a") ?? []);
    expect(activity?.windowMs).toBe(4_000);
    expect(activity?.rates).toMatchObject({ publicationsIn: 50, messagesOut: 100, bytesOut: 5_000, commands: 0 });
    expect(activity?.delivery.edge).toEqual([0, 200, 0, 0]);
    expect(activity?.totals.closes).toEqual({ 4430: 1 });
  });
  test("is told since its start at the first look, without a rate", () => {
    const activity = activityOf([report("a", 5, 100)]);
    expect([activity?.windowMs, activity?.rates.messagesOut]).toEqual([undefined, undefined]);
    expect(activity?.delivery.total).toEqual([0, 100, 0, 0]);
  });
  test("is not counted twice where the same report is seen twice", () => {
    expect(seen(report("a", 1, 1), report("a", 1, 1)).get("a")).toHaveLength(1);
  });
  test("forgets what is older than the window, but for one look to compare with", () => {
    const times = [0, 1_000, WINDOW_MS, WINDOW_MS + 1_500];
    const looks = seen(...times.map((time) => report("a", time, time)));
    expect(looks.get("a")?.map(({ time }) => time)).toEqual([1_000, WINDOW_MS, WINDOW_MS + 1_500]);
    const hidden = seen(report("a", 0, 0), report("a", 10 * WINDOW_MS, 600));
    expect(activityOf(hidden.get("a") ?? [])?.windowMs).toBe(10 * WINDOW_MS);
  });
  test("of a version that does not say is none, and one that is gone is forgotten", () => {
    const { figures: _, ...silent } = report("a", 0, 0);
    expect(activityOf([silent])).toBeUndefined();
    expect(look(seen(report("a", 0, 0)), []).size).toBe(0);
  });
});

describe("the cluster's activity", () => {
  const of = (...reports: readonly NodeEntry[]) => {
    const activity = activityOf(reports);
    if (!activity) throw new Error("no figures");
    return activity;
  };
  test("is the sum over its edges", () => {
    const both = together([
      of(report("a", 0, 0, 0), report("a", 1_000, 10, 0)),
      of(report("b", 500, 0, 2), report("b", 2_500, 40, 2)),
    ]);
    expect(both).toMatchObject({ connections: 6, channels: 4, windowMs: 2_000 });
    expect(both?.rates.publicationsIn).toBe(30);
    expect(both?.delivery.socket).toEqual([10, 0, 40, 0]);
    expect(both?.totals).toMatchObject({ publicationsIn: 50, outboxBytes: 20, closes: { 4430: 2 } });
  });
  test("takes no times of an edge's whole life for the last seconds'", () => {
    const both = together([of(report("new", 9, 1_000_000, 3)), of(report("b", 0, 0), report("b", 1_000, 5))]);
    expect(both?.delivery.total).toEqual([0, 5, 0, 0]);
    expect(both?.totals.publicationsIn).toBe(1_000_005);
  });
  test("leaves out buckets that are others", () => {
    const other = report("b", 1_000, 7);
    if (other.figures) other.figures = { ...other.figures, delivery: { ...other.figures.delivery, boundsUs: [1] } };
    expect(together([of(report("a", 0, 5)), of(other)])?.delivery.total).toEqual([0, 5, 0, 0]);
  });
  test("of no edge is none", () => expect(together([])).toBeUndefined());
});

describe("a quantile out of buckets", () => {
  const at = (counts: readonly number[], share: number) => bucketQuantile(BOUNDS, counts, share);
  test("lies within its bucket by its rank", () => {
    expect(at([0, 0, 100, 0], 0.5)).toEqual({ ms: 3, isBeyond: false });
    expect(at([50, 50, 0, 0], 0.5)).toEqual({ ms: 0.25, isBeyond: false });
    expect(at([99, 0, 1, 0], 0.99)).toEqual({ ms: 0.25, isBeyond: false });
  });
  test("above all bounds says so", () => expect(at([0, 0, 1, 9], 0.99)).toEqual({ ms: 5, isBeyond: true }));
  test("of nothing is nothing", () => expect([at([0, 0, 0, 0], 0.5), at([], 0.5)]).toEqual([undefined, undefined]));
  test("reads as a time", () => {
    const text = (ms: number, isBeyond = false) => shown({ ms, isBeyond });
    expect([shown(undefined), text(0.3), text(4.24), text(9.96), text(420), text(1_500), text(8_000, true)]).toEqual([
      "–",
      "< 1 ms",
      "4.2 ms",
      "10 ms",
      "420 ms",
      "1.5 s",
      "> 8.0 s",
    ]);
  });
});

test("a trend keeps some minutes of what was measured", () => {
  const looks = seen(report("a", 0, 0), report("a", 2_000, 100));
  const cluster = activityOf(looks.get("a") ?? []);
  const trend = trendOf([], cluster, 7);
  expect(trend).toEqual([{ time: 7, rate: 50, p99: 0.9925 }]);
  expect(trendOf(trend, cluster, 7), "one a second").toBe(trend);
  expect(trendOf(trend, activityOf([report("a", 0, 5)]), 8), "a first look has no rate").toBe(trend);
  let long = trend;
  for (let time = 8; time < 400; time += 1) long = trendOf(long, cluster, time);
  expect([long.length, long[0]?.time, long[149]?.time]).toEqual([150, 250, 399]);
});
