import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Cluster, until } from "../edge/cluster.js";
import { Relay } from "../edge/relay.js";
import { Site } from "./site.js";
import { Chromium, type Tab } from "./tab.js";

/** From the moment that a page wakes until its subscription is served. */
const LIVE_AGAIN_MS = 250;

let cluster: Cluster;
let relay: Relay;
let site: Site;
let chromium: Chromium;
let tab: Tab;
let other: Tab;

beforeAll(async () => {
  [cluster, site, chromium] = await Promise.all([Cluster.start(), Site.start(), Chromium.start()]);
  relay = await Relay.to(cluster.edges[0]?.port ?? 0);
});

afterAll(async () => {
  await chromium?.stop();
  relay?.close();
  site?.close();
  await cluster?.stop();
});

beforeEach(async () => {
  // Its own backoff would bring nothing back within a test's patience: what does is the browser's word.
  tab = await chromium.open(site.address(relay.url, { slow: "1" }));
  await until("the page is there", () => tab.isLoaded());
});

afterEach(async () => {
  relay.heal();
  await tab.close();
  await other.close();
  expect(chromium.faults.splice(0)).toEqual([]);
});

const upTo = (last: number) => Array.from({ length: last }, (_, n) => n + 1);
const received = (channel: string) => tab.inside((app, channel) => app.seen[channel] ?? [], channel);
const beats = () => tab.inside((app) => app.beats(), null);
const isVisible = () => tab.inside(() => document.visibilityState === "visible", null);

async function publish(channel: string, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) await cluster.publish(channel, n);
}

/** Follows a channel in a tab that then stands behind another one. */
async function hidden(channel: string): Promise<void> {
  await tab.inside((app, channel) => app.follow(channel), channel);
  await until("it is subscribed", () => tab.inside((app, channel) => app.isLive(channel), channel));
  await publish(channel, 1, 5);
  await until("all came", async () => (await received(channel)).length >= 5);
  other = await chromium.open("about:blank");
  await until("it is hidden", async () => !(await isVisible()));
}

/** The page's events since it woke: milliseconds after that, and what. */
const since = (woke: string) =>
  tab.inside((app, woke) => {
    const from = app.log.findLastIndex(({ what }) => what === woke);
    const begun = app.log[from]?.at ?? Number.NaN;
    return app.log.slice(from).map(({ what, at }) => ({ what, after: at - begun }));
  }, woke);

const nothingMissing = async (channel: string, last: number) => {
  expect(await received(channel), "in order and once").toEqual(upTo(last));
  expect(await tab.inside((app) => app.gaps, null)).toEqual([]);
};

test("a hidden tab, its timers throttled, gets what comes when it comes, and its line lives on", async () => {
  const channel = "session:hidden";
  await hidden(channel);
  const [before, begun] = [await beats(), performance.now()];
  await publish(channel, 6, 40);
  await until("all came", async () => (await received(channel)).length >= 40);
  await until("some seconds have passed", () => performance.now() - begun > 4_000);
  const [after, passed] = [await beats(), performance.now() - begun];
  expect(after - before, "its timers are throttled").toBeLessThan(passed / 500);
  expect(await isVisible()).toBe(false);
  await other.close();
  await tab.show();
  await until("it is visible", isVisible);
  await publish(channel, 41, 45);
  await until("all came", async () => (await received(channel)).length >= 45);
  await nothingMissing(channel, 45);
  const states = await tab.inside((app) => app.states, null);
  expect(states.filter((state) => state.startsWith("reconnecting"))).toEqual([]);
  other = await chromium.open("about:blank");
});

// Its line is over too: Chromium ends the sockets of what it freezes, and tells of it when the page thaws.
test("a frozen tab gets what came meanwhile when it thaws behind others", async () => {
  const channel = "session:frozen";
  await hidden(channel);
  await tab.freeze();
  const before = await beats();
  await publish(channel, 6, 60);
  expect(await received(channel), "it is frozen indeed").toEqual(upTo(5));
  expect(await beats()).toBe(before);
  await tab.thaw();
  await until("all came", async () => (await received(channel)).length >= 60);
  await nothingMissing(channel, 60);
});

// A machine that does something else may be late once; code that waits too long is late in every attempt.
test(`a frozen tab whose network was cut meanwhile is live within ${LIVE_AGAIN_MS} ms of being looked at, and has missed nothing`, {
  retry: 2,
}, async () => {
  const channel = `session:lost-${Math.random()}`;
  await hidden(channel);
  await tab.freeze();
  relay.cut();
  await publish(channel, 6, 30);
  relay.heal();
  expect(await received(channel), "it is frozen indeed").toEqual(upTo(5));
  await tab.show();
  await until("what was missed came", async () => (await received(channel)).length >= 30);
  await nothingMissing(channel, 30);
  const log = await since("resume");
  const live = log.find(({ what }) => what === `live ${channel}`)?.after ?? Number.NaN;
  const lost = log.find(({ what }) => what === "reconnecting link_lost");
  expect(lost, "its line was over").toBeDefined();
  console.log(`live again ${live.toFixed(0)} ms after it woke`);
  expect(live).toBeLessThanOrEqual(LIVE_AGAIN_MS);
});

test("a frozen tab whose network was cut meanwhile comes back behind others too", async () => {
  const channel = "session:behind";
  await hidden(channel);
  await tab.freeze();
  relay.cut();
  await publish(channel, 6, 30);
  relay.heal();
  await tab.thaw();
  await until("what was missed came", async () => (await received(channel)).length >= 30);
  expect(await isVisible()).toBe(false);
  await nothingMissing(channel, 30);
});
