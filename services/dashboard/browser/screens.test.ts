import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import AxeBuilder from "@axe-core/playwright";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launch, open, type Visit } from "./browser";
import { Cluster, token } from "./cluster";
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
    const { page, context, faults } = await open(browser, `${cluster.url}/#token=${token("dev", ["desk", "operator"])}`, visit);
    await page.getByText("Live", { exact: true }).first().waitFor();
    // The watch list of somebody who has used it.
    await page.evaluate(() =>
      localStorage.setItem("tickwire.watched", JSON.stringify(["binance:BTC/USDT", "BTC/USDT", "ETH/USDT", "SOL/USDT"])),
    );
    await page.goto(cluster.url + path);
    await page.getByText(shows).first().waitFor();
    if (name === "operations") {
      await page.getByLabel("Alerts of user").fill("dev");
      await page.getByLabel("Alerts of user").press("Enter");
    }
    await page.waitForTimeout(1_500);
    await page.screenshot({ path: `${SHOTS}${name}-${visit.as}.png`, fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wide, "nothing sticks out to the right").toBeLessThanOrEqual(0);
    const axe = await new AxeBuilder({ page }).analyze();
    const found = axe.violations.map(
      ({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 120)} ${any[0]?.message ?? ""}`).join(" | ")}`,
    );
    expect(found).toEqual([]);
    expect(faults).toEqual([]);
    await context.close();
  });
});

test("sign-in takes one click on a developer's machine", async () => {
  const fresh = await Cluster.start({ ownSecret: false });
  try {
    const { page, context, faults } = await open(browser, fresh.url);
    await page.getByRole("button", { name: "Continue as dev" }).waitFor();
    await page.screenshot({ path: `${SHOTS}login-dark.png` });
    await page.getByRole("button", { name: "Continue as dev" }).click();
    await page.getByText("Live", { exact: true }).first().waitFor();
    expect(new URL(page.url()).hash, "no token stays in the address").toBe("");
    expect(faults).toEqual([]);
    await context.close();
  } finally {
    await fresh.down();
  }
});
