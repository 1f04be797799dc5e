import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, PATIENCE_MS, until } from "./cluster.js";
import { Relay } from "./relay.js";

/** How long lines are cut again and again, seconds; the promise is made for two minutes. */
const SECONDS = Number(process.env.TICKWIRE_FAULT_SECONDS ?? 24);
const CHANNELS = ["session:f1", "session:f2", "session:f3"];
const pause = (ms: number) => new Promise((resume) => setTimeout(resume, ms));

let cluster: Cluster;
let relays: Relay[];

beforeAll(async () => {
  cluster = await Cluster.start();
  relays = await Promise.all(cluster.edges.map(({ port }) => Relay.to(port)));
});

afterAll(async () => {
  for (const relay of relays ?? []) relay.close();
  await cluster?.stop();
});

test("with lines cut for two seconds again and again every message arrives, in order and once", {
  timeout: (SECONDS + 60) * 1_000,
}, async () => {
  const urls = relays.map(({ url }) => url);
  const clients = [0, 1, 2, 3].map((n) => cluster.client({ urls: n % 2 ? [...urls].reverse() : urls }));
  const seen = new Map<string, number[]>();
  let breaks = 0;
  const gaps: unknown[] = [];
  const subscriptions = clients.flatMap((client, n) => {
    client.on("state", ({ status }) => {
      if (status === "reconnecting") breaks += 1;
    });
    return CHANNELS.map((channel) => {
      const got: number[] = [];
      seen.set(`${n} ${channel}`, got);
      const subscription = client.subscribe<string, number>(channel);
      subscription.on("message", ({ data }) => got.push(data));
      subscription.on("gap", (gap) => gaps.push(gap));
      return subscription;
    });
  });
  await until("all are live", () => subscriptions.every(({ status }) => status === "live"));
  const end = Date.now() + SECONDS * 1_000;
  const cuts = (async () => {
    while (Date.now() < end) {
      for (const relay of relays) relay.cut();
      await pause(2_000);
      for (const relay of relays) relay.heal();
      await pause(2_500);
    }
  })();
  let sent = 0;
  while (Date.now() < end) {
    sent += 1;
    await Promise.all(CHANNELS.map((channel) => cluster.publish(channel, sent)));
    await pause(10);
  }
  await cuts;
  const expected = Array.from({ length: sent }, (_, n) => n + 1);
  await until("the last message is everywhere", () => [...seen.values()].every((got) => got.at(-1) === sent), PATIENCE_MS);
  for (const [who, got] of seen) expect(got, who).toEqual(expected);
  expect(gaps).toEqual([]);
  expect(breaks, "the test must break lines").toBeGreaterThan((clients.length * SECONDS) / 6);
  console.log(`${SECONDS} s, ${breaks} breaks, ${sent * seen.size} deliveries owed, 100 % delivered in order, none doubled`);
});

test("a half-open line is noticed within ten seconds and left", async () => {
  const [first, second] = relays as [Relay, Relay];
  const client = cluster.client({ urls: [first.url, second.url] });
  client.connect();
  await until("it is connected", () => client.state.status === "connected");
  first.silence();
  const begun = Date.now();
  await until("it is noticed", () => client.state.status !== "connected");
  expect(Date.now() - begun).toBeLessThan(12_000);
  await until("it is connected elsewhere", () => client.state.status === "connected");
  first.heal();
});
