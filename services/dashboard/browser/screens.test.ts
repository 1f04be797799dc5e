import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import AxeBuilder from "@axe-core/playwright";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLive, launch, open, type Visit } from "./browser";
import { Cluster, PATIENCE_MS, token } from "./cluster";
import { play } from "./scene";

const SHOTS = fileURLToPath(new URL("../screenshots/", import.meta.url));

/** A screen, and what tells that its data has arrived. */
const SCREENS = [
  { name: "overview", path: "/", shows: "btc-momentum" },
  { name: "session", path: "/sessions/btc-momentum", shows: "The 20-tick average" },
  { name: "markets", path: "/markets?i=binance%3ABTC%2FUSDT", shows: "Spread" },
  { name: "notifications", path: "/notifications", shows: "Your daily report is ready" },
  { name: "agents", path: "/agents", shows: "Three sources agree" },
  { name: "tap", path: "/tap?channel=session%3Abtc-momentum", shows: "currentPnL" },
  { name: "operations", path: "/operations", shows: "Nobody is banned" },
] as const;

const VISITS: readonly (Visit & { as: string })[] = [
  { as: "dark" },
  { as: "light", theme: "light" },
  { as: "mobile", mobile: true },
];

/** The watch list of somebody who has used it. */
const stored = { "tickwire.watched": JSON.stringify(["binance:BTC/USDT", "BTC/USDT", "ETH/USDT", "SOL/USDT"]) };

/** Charts are there, and what is measured between two looks has been looked at twice. */
async function settled(page: Page, name: string): Promise<void> {
  if (name === "operations") {
    await page.getByLabel("Alerts of user").fill("dev");
    await page.getByLabel("Alerts of user").press("Enter");
    await page.getByText(/\/s$/).first().waitFor();
    await page.getByLabel("Unacknowledged alerts of dev").waitFor();
  }
  const charts = page.locator(".chart[role=img]");
  if (name === "session" || name === "markets") await charts.locator("canvas").first().waitFor();
  await page.waitForTimeout(300);
}

/** The whole screen, as on a display that is high enough: what stands at an edge stands there. */
async function picture(page: Page, name: string): Promise<void> {
  const before = page.viewportSize() ?? { width: 1_440, height: 900 };
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ ...before, height: Math.max(before.height, height) });
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${SHOTS}${name}.png` });
  await page.setViewportSize(before);
}

/** Boxes whose content is wider than they are and neither scrolls nor ends in an ellipsis. Runs in the page. */
function stickingOut(): string[] {
  const boxes = document.querySelectorAll<HTMLElement>(
    ".card, .card *, .panel > header, .panel-body, .metric, .metric *, .toast *, td",
  );
  const isWide = (it: HTMLElement) => it.clientWidth > 1 && it.scrollWidth > it.clientWidth + 1;
  const isVisible = (it: HTMLElement) => getComputedStyle(it).overflowX === "visible" && !it.closest(".sr-only, .chart");
  return [...boxes].filter((it) => isWide(it) && isVisible(it)).map((it) => `${it.className}: ${it.textContent?.slice(0, 60)}`);
}

let cluster: Cluster;
let browser: Browser;

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  cluster = await Cluster.start();
  await play(cluster);
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  await cluster?.down();
});

describe.each(VISITS)("$as", (visit) => {
  test.each(SCREENS)("$name shows its data, breaks no policy and is accessible", async ({ name, path, shows }) => {
    const address = `${cluster.url}${path}#token=${token("dev", ["desk", "operator"])}`;
    const watched = await open(browser, address, { ...visit, stored });
    const { page, context, faults } = watched;
    await isLive(watched);
    await page.getByText(shows).first().waitFor();
    await settled(page, name);
    await picture(page, `${name}-${visit.as}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wide, "nothing sticks out to the right").toBeLessThanOrEqual(0);
    expect(await page.evaluate(stickingOut), "nothing sticks out of its box").toEqual([]);
    const axe = await new AxeBuilder({ page }).analyze();
    const found = axe.violations.map(
      ({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 120)} ${any[0]?.message ?? ""}`).join(" | ")}`,
    );
    expect(found).toEqual([]);
    expect(await page.locator("h1").count(), "one heading names the screen").toBe(1);
    expect(faults).toEqual([]);
    await context.close();
  });
});

test("the policy lets nothing run that the server did not name", async () => {
  const watched = await open(browser, `${cluster.url}/#token=${token("dev")}`);
  const { page, context, faults, headers } = watched;
  await isLive(watched);
  const policy = headers["content-security-policy"] ?? "";
  expect(policy).toMatch(/^default-src 'none';/);
  expect(policy).not.toMatch(/unsafe|\*|data:[^;]*script/);
  expect(policy).toContain("frame-ancestors 'none'");
  expect(headers["x-content-type-options"]).toBe("nosniff");
  // What an injection would try. It also shows that the faults of other tests would have been seen.
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.isTaken = true";
    document.body.append(script);
    const image = document.createElement("img");
    image.src = "https://tracker.example/pixel.gif";
    document.body.append(image);
  });
  await expect.poll(() => faults.filter((it) => it.startsWith("console: policy")).length, { timeout: PATIENCE_MS }).toBe(2);
  expect(await page.evaluate(() => "isTaken" in window)).toBe(false);
  await context.close();
});

test("operators see how long each stage takes, of the cluster and of each edge, without an edge's own metrics", async () => {
  const context = await browser.newContext();
  // As a balancer does it.
  await context.route("**/metrics", (route) => route.fulfill({ status: 404 }));
  const page = await context.newPage();
  await page.goto(`${cluster.url}/operations#token=${token("dev", ["operator"])}`);
  const stages = page.getByRole("region", { name: "Latency by stage and edge" });
  const row = async (name: RegExp) => stages.getByRole("row", { name }).first().locator("td").allInnerTexts();
  const publishing = setInterval(() => void cluster.publish("room:lobby", { n: 1 }).catch(() => {}), 50);
  try {
    await page.goto(`${cluster.url}/tap?channel=room%3Alobby`);
    await page.getByRole("link", { name: "Operations" }).click();
    for (const edge of [/^Cluster/, /^edge|^standalone|-[0-9a-f]{8}/]) {
      const cells = () => row(edge);
      await expect.poll(async () => (await cells()).at(-1), { timeout: PATIENCE_MS }).toMatch(/^[\d.,]+\/s$/);
      expect((await cells()).slice(0, -1)).toHaveLength(12);
    }
    await page.getByText(/^over the last/).waitFor();
    const total = async () => (await row(/^Cluster/)).slice(9, 12).join();
    await expect.poll(total, { timeout: PATIENCE_MS }).toMatch(/^((< 1|[\d.]+) m?s,?){3}$/);
  } finally {
    clearInterval(publishing);
    await context.close();
  }
});

test("every screen is reached and left by keyboard", async () => {
  const watched = await open(browser, `${cluster.url}/#token=${token("dev", ["operator"])}`);
  const { page, context, faults } = watched;
  await isLive(watched);
  await page.keyboard.press("Tab");
  expect(await page.evaluate(() => document.activeElement?.textContent)).toContain("Skip to the content");
  await page.keyboard.press("Enter");
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
  for (const [label, path] of [
    ["Markets", "/markets"],
    ["Operations", "/operations"],
  ] as const) {
    await page.getByRole("link", { name: label }).focus();
    await page.keyboard.press("Enter");
    await expect.poll(() => new URL(page.url()).pathname).toBe(path);
    await page.getByRole("heading", { level: 1, name: label }).waitFor();
  }
  expect(faults).toEqual([]);
  await context.close();
});

test("sign-in takes one click on a developer's machine", async () => {
  const fresh = await Cluster.start({ isFirstRun: true });
  try {
    const watched = await open(browser, fresh.url);
    const { page, context, faults } = watched;
    await page.getByRole("button", { name: "Continue as dev" }).waitFor();
    await page.screenshot({ path: `${SHOTS}login-dark.png` });
    await page.getByRole("button", { name: "Continue as dev" }).click();
    await isLive(watched);
    expect(new URL(page.url()).hash, "no token stays in the address").toBe("");
    expect(faults).toEqual([]);
    await context.close();
  } finally {
    await fresh.down();
  }
});
