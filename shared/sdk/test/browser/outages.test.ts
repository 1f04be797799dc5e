import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Cluster, until } from "../edge/cluster.js";
import { Relay } from "../edge/relay.js";
import { inside, launch, Site, type Visit, visit } from "./site.js";

let cluster: Cluster;
let relay: Relay;
let site: Site;
let browser: Browser;
let open: Visit;

beforeAll(async () => {
  [cluster, site, browser] = await Promise.all([Cluster.start(), Site.start(), launch()]);
  relay = await Relay.to(cluster.edges[0]?.port ?? 0);
});

afterEach(async () => {
  relay.heal();
  expect(open.faults).toEqual([]);
  await open.page.context().close();
});

afterAll(async () => {
  await browser?.close();
  relay?.close();
  site?.close();
  await cluster?.stop();
});

const status = () => inside(open.page, (app) => app.client.state.status, null);
const isConnected = async () => (await status()) === "connected";
const received = (channel: string) => inside(open.page, (app, channel) => app.seen[channel] ?? [], channel);
const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);

/** Opens the page and follows a channel. */
async function begin(channel: string, more: Record<string, string> = {}): Promise<void> {
  open = await visit(browser, site.address(relay.url, more));
  await inside(open.page, (app, channel) => app.follow(channel), channel);
  await until("it is subscribed", () => inside(open.page, (app, channel) => app.isLive(channel), channel));
}

async function publish(channel: string, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) await cluster.publish(channel, n);
}

test("a cut network loses, doubles and disorders nothing", async () => {
  const channel = "session:cut";
  await begin(channel);
  await publish(channel, 1, 10);
  for (let round = 1; round <= 3; round += 1) {
    relay.cut();
    await until("it is noticed", async () => !(await isConnected()));
    await publish(channel, round * 10 + 1, round * 10 + 5);
    relay.heal();
    await publish(channel, round * 10 + 6, round * 10 + 10);
    await until("all came", async () => (await received(channel)).length >= round * 10 + 10);
  }
  expect(await received(channel)).toEqual(upTo(40));
  expect(await inside(open.page, (app) => app.gaps, null)).toEqual([]);
});

test("a browser that is online again brings the client back, whatever its backoff", async () => {
  const channel = "session:online";
  await begin(channel, { slow: "1" });
  await open.page.context().setOffline(true);
  relay.cut();
  await until("it is noticed", async () => !(await isConnected()));
  await publish(channel, 1, 5);
  relay.heal();
  await open.page.context().setOffline(false);
  await until("all came", async () => (await received(channel)).length >= 5);
  expect(await received(channel)).toEqual(upTo(5));
});

test("a half-open line is noticed although the browser says nothing of it", async () => {
  const channel = "session:mute";
  await begin(channel);
  relay.silence();
  await until("it is noticed", async () => !(await isConnected()));
  expect(await inside(open.page, (app) => app.states.at(-1), null)).toBe("reconnecting link_lost");
  relay.cut();
  relay.heal();
  await publish(channel, 1, 3);
  await until("all came", async () => (await received(channel)).length >= 3);
  expect(await received(channel)).toEqual(upTo(3));
});

test("a page that comes back from the browser's cache of pages is live again, and misses nothing", async () => {
  const channel = "session:back";
  await begin(channel, { slow: "1" });
  await publish(channel, 1, 5);
  await until("all came", async () => (await received(channel)).length >= 5);
  await open.page.goto(`${site.origin}elsewhere`);
  await publish(channel, 6, 8);
  await open.page.goBack({ waitUntil: "commit" });
  await until("what was missed came", async () => (await received(channel)).length >= 8);
  expect(await received(channel)).toEqual(upTo(8));
  const { shown, states } = await inside(open.page, ({ shown, states }) => ({ shown, states }), null);
  expect(shown, "with an open connection it would not have been kept").toEqual(["loaded", "from the cache"]);
  expect(states).toContain("reconnecting page_left");
});
