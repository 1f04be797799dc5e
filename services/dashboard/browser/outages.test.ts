import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLive, launch, open, type Watched } from "./browser";
import { Cluster, PATIENCE_MS, sleep, token } from "./cluster";

let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
});

async function signedIn(cluster: Cluster, user: string, path = "/", seconds?: number): Promise<Watched> {
  const watched = await open(browser, `${cluster.url}${path}#token=${token(user, ["desk"], seconds)}`);
  await isLive(watched);
  return watched;
}

/** The titles in the inbox, newest first. */
const titles = ({ page }: Watched) => page.locator(".inbox-title strong").allTextContents();
const patient = { timeout: PATIENCE_MS };

describe("on standalone", () => {
  let cluster: Cluster;
  const notify = (user: string, title: string) =>
    cluster.emit(`/v1/users/${user}/notify`, { type: "note", title, priority: "high" });
  const say = async (session: string, from: number, to: number) => {
    for (let step = from; step <= to; step += 1) await cluster.publish(`session:${session}`, { type: "step", step });
  };
  /** The steps on the tap, oldest first. */
  const steps = async ({ page }: Watched) =>
    (await page.locator(".tap-list pre").allTextContents()).map((text) => JSON.parse(text).step as number).reverse();
  const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

  beforeAll(async () => {
    cluster = await Cluster.start();
  });

  afterAll(async () => {
    await cluster?.down();
  });

  test("a cut network is told, and what was missed comes once and in order", async () => {
    const watched = await signedIn(cluster, "cut", "/notifications");
    const { page, context, faults } = watched;
    await notify("cut", "one");
    await expect.poll(() => titles(watched), patient).toEqual(["one"]);
    await context.setOffline(true);
    await page.getByText(/Reconnecting:|Not connected:/).waitFor();
    await page.locator("main.main-old").waitFor();
    await notify("cut", "two");
    await notify("cut", "three");
    await context.setOffline(false);
    await expect.poll(() => titles(watched), patient).toEqual(["three", "two", "one"]);
    await isLive(watched);
    expect(faults).toEqual([]);
    await context.close();
  });

  test("a network that is cut again and again loses and doubles nothing", async () => {
    const watched = await signedIn(cluster, "shaky", "/tap?channel=session%3Ashaky");
    const { page, context, faults } = watched;
    // What is published before the channel is subscribed is owed to nobody.
    await page.getByText("live", { exact: true }).waitFor();
    for (let round = 0; round < 4; round += 1) {
      const saying = say("shaky", round * 10 + 1, round * 10 + 10);
      await context.setOffline(true);
      await saying;
      await context.setOffline(false);
      await isLive(watched);
    }
    await expect.poll(() => steps(watched), patient).toEqual(upTo(40));
    expect(faults).toEqual([]);
    await context.close();
  });

  test("a hidden tab goes on counting what is unread", async () => {
    const { page, context, faults } = await signedIn(cluster, "hidden");
    await page.evaluate(() => {
      // A hidden tab draws no frames.
      Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
      Object.defineProperty(document, "hidden", { get: () => true });
      window.requestAnimationFrame = () => 0;
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await notify("hidden", "one");
    await notify("hidden", "two");
    await expect.poll(() => page.title(), patient).toBe("(2) Overview · Tickwire");
    expect(faults).toEqual([]);
    await context.close();
  });

  test("a critical alert stays until it is acknowledged", async () => {
    const { page, context, faults } = await signedIn(cluster, "critical");
    await cluster.event("risk-alert", {
      sessionId: "s",
      userId: "critical",
      alertLevel: "critical",
      alertType: "loss_limit",
      message: "95 % is used",
      currentValue: "950",
      threshold: "1000",
    });
    const toast = page.locator(".toast-critical");
    await toast.waitFor();
    await page.keyboard.press("Escape");
    await sleep(500);
    expect(await toast.count()).toBe(1);
    expect(await page.locator('[aria-live="assertive"]').first().textContent()).toContain("95 % is used");
    await toast.getByRole("button", { name: "Acknowledge" }).click();
    await expect.poll(() => toast.count(), patient).toBe(0);
    expect(faults).toEqual([]);
    await context.close();
  });

  test("an expired token leads to the sign-in with its reason", async () => {
    // As long as a busy machine may take to show the page.
    const { page, context } = await signedIn(cluster, "short", "/", 15);
    await page.getByText("Your token has expired").waitFor();
    await context.close();
  });

  test("a killed edge is told, and the page goes on when it is back", async () => {
    const watched = await signedIn(cluster, "killed");
    const { page, context, faults } = watched;
    await cluster.down();
    await page.getByText(/Reconnecting:/).waitFor();
    await cluster.up();
    await isLive(watched);
    await notify("killed", "after the restart");
    await page.getByText("after the restart").first().waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });
});

describe("on Redis", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await Cluster.onRedis();
  });

  afterAll(async () => {
    await cluster?.down();
  });

  test("a store that is gone is told while the connection stays, and messages come again once it is back", async () => {
    const watched = await signedIn(cluster, "lasting", "/notifications");
    const { page, context, faults } = watched;
    const degraded = page.getByText("Degraded:");
    const notify = (title: string) => cluster.emit("/v1/users/lasting/notify", { type: "note", title });
    await notify("before");
    await expect.poll(() => titles(watched), patient).toEqual(["before"]);
    await cluster.redis?.down();
    await degraded.waitFor();
    expect(await page.getByText(/Reconnecting:|Not connected:/).count(), "the connection itself stands").toBe(0);
    // What it held is lost with it: it kept nothing on a disk.
    cluster.redis?.up();
    await expect.poll(() => degraded.count(), patient).toBe(0);
    await expect.poll(() => notify("after").then(Boolean, () => false), patient).toBe(true);
    await page.locator(".inbox-title", { hasText: "after" }).first().waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });
});
