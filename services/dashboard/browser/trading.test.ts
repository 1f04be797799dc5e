import AxeBuilder from "@axe-core/playwright";
import type { Browser, Route } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isLive, launch, open } from "./browser";
import { Cluster, PATIENCE_MS, token } from "./cluster";

/** What the session service answers, by its contract: the page is what is tested here. */
const RECORD = {
  sessionId: "abc",
  userId: "trader",
  algorithmId: "sma-crossover",
  parameters: { fast: 5 },
  symbols: ["binance:BTC/USDT"],
  capital: "10000",
  limits: { lossLimit: "500", timeLimitMs: 3_600_000 },
  status: "paused",
  createdAt: Date.now(),
  updatedAt: Date.now(),
  version: 1,
};

let cluster: Cluster;
let browser: Browser;

beforeAll(async () => {
  cluster = await Cluster.start();
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  await cluster?.down();
});

test("a session is created, started, paused and stopped in an emergency, each once", async () => {
  const watched = await open(browser, cluster.url);
  const { page, context, faults } = watched;
  const calls: { path: string; key: string | undefined; body: unknown }[] = [];
  let isFailing = true;
  const serve = async (route: Route) => {
    const request = route.request();
    const path = new URL(request.url()).pathname;
    if (request.method() === "GET") {
      const value = path.endsWith("/sessions") || path.endsWith("/accounts") ? { items: [RECORD] } : RECORD;
      return route.fulfill({ json: value });
    }
    calls.push({ path, key: request.headers()["idempotency-key"], body: request.postDataJSON() });
    if (path.endsWith("/emergency-stop")) {
      const ending = { at: Date.now(), reason: "its user asked for an emergency stop" };
      return route.fulfill({ json: { ...RECORD, status: "emergency_stopped", version: 9, updatedAt: Date.now() + 1, ending } });
    }
    // The first answer is lost on its way.
    if (path.endsWith("/sessions") && isFailing) {
      isFailing = false;
      return route.fulfill({ status: 503, json: { error: { code: "unavailable", message: "try again", retryable: true } } });
    }
    return route.fulfill({ json: RECORD });
  };
  await page.route("**/dashboard.json", (route) => route.fulfill({ json: { services: { session: "/trading/session" } } }));
  await page.route("**/trading/**", serve);
  await page.goto(`${cluster.url}/#token=${token("trader")}`);
  await page.reload();
  await isLive(watched);
  await page.getByRole("button", { name: "New session" }).click();
  await page.getByRole("textbox", { name: "Loss limit" }).fill("250.50");
  const start = page.getByRole("button", { name: "Start session" });
  await start.click();
  await page.getByText("try again").waitFor();
  await start.click();
  await page.getByRole("heading", { level: 1, name: "sma-crossover" }).waitFor();
  const created = calls.filter(({ path }) => path === "/trading/session/v1/sessions");
  expect(created).toHaveLength(2);
  expect(created[0]?.key, "the same attempt has the same key").toBe(created[1]?.key);
  expect(created[0]?.body).toEqual({
    algorithmId: "sma-crossover",
    symbols: ["binance:BTC/USDT"],
    capital: "10000",
    limits: { lossLimit: "250.50", timeLimitMs: 3_600_000 },
  });
  expect(calls.at(-1)?.path).toBe("/trading/session/v1/sessions/abc/start");
  await page.getByText("sma-crossover").first().waitFor();
  await page.getByText("10,000.00").first().waitFor();

  const status = (of: string) =>
    cluster.event("session-status", {
      sessionId: "abc",
      userId: "trader",
      status: of,
      data: { currentPnL: "-3.20", totalTrades: 2 },
    });
  await status("active");
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await expect.poll(() => calls.at(-1)?.path).toBe("/trading/session/v1/sessions/abc/pause");
  await status("paused");
  await page.getByRole("button", { name: "Resume" }).waitFor();
  await page.getByRole("button", { name: "Emergency stop" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Emergency stop" }).click();
  await expect.poll(() => calls.at(-1)?.path).toBe("/trading/session/v1/sessions/abc/emergency-stop");
  // By the answer: no event has come.
  await page.getByText("The session is emergency stopped.").waitFor();
  await page.getByText("its user asked for an emergency stop").waitFor();
  expect(await page.getByRole("button", { name: "Resume" }).count(), "what is over takes no command").toBe(0);
  expect(faults).toEqual([]);
  await context.close();
});

/** As the algorithm service describes it. */
const STRATEGIES = {
  items: [
    {
      name: "sma-crossover",
      summary: "Long while the short average is above the long one",
      parameters: [
        {
          name: "fast",
          title: "Short average",
          help: "Samples of it.",
          type: "integer",
          unit: "samples",
          default: "5",
          min: "1",
          max: "1998",
        },
        {
          ...{ name: "slow", title: "Long average", help: "Samples of it.", type: "integer", unit: "samples", default: "20" },
          ...{ min: "2", max: "1999", above: "fast" },
        },
      ],
    },
  ],
  execution: [
    {
      ...{ name: "stopLoss", title: "Stop loss", help: "Where it is closed.", type: "decimal", unit: "share", default: "0.02" },
      ...{ min: "0.0001", max: "1", isOptional: true },
    },
  ],
};

test("a strategy's parameters and risk's thresholds are checked where they are typed, and sent exactly", async () => {
  const watched = await open(browser, cluster.url);
  const { page, context, faults } = watched;
  const calls: { method: string; path: string; body: unknown }[] = [];
  let isUnderWatch = false;
  await page.route("**/dashboard.json", (route) => {
    const services = { session: "/trading/session", algorithm: "/trading/algorithm", risk: "/trading/risk" };
    return route.fulfill({ json: { services } });
  });
  await page.route("**/trading/**", async (route) => {
    const request = route.request();
    const [method, { pathname: path }] = [request.method(), new URL(request.url())];
    if (path.endsWith("/strategies")) return route.fulfill({ json: STRATEGIES });
    if (method === "GET") return route.fulfill({ json: path.endsWith("s") ? { items: [] } : RECORD });
    calls.push({ method, path, body: request.postDataJSON() });
    if (path.endsWith("/thresholds") && !isUnderWatch) {
      // Risk has not heard of it yet.
      isUnderWatch = true;
      return route.fulfill({ status: 404, json: { error: { code: "not_found", message: "there is no such session" } } });
    }
    return route.fulfill({ json: RECORD });
  });
  await page.goto(`${cluster.url}/#token=${token("trader")}`);
  await page.reload();
  await isLive(watched);
  await page.getByRole("button", { name: "New session" }).click();
  const field = (name: string) => page.getByRole("textbox", { name });
  const start = page.getByRole("button", { name: "Start session" });
  await field("Short average, samples").fill("30");
  await page.getByText("How it trades").click();
  await field("Stop loss, %").fill("1.5");
  await page.getByText("Agents", { exact: true }).last().click();
  await page.getByRole("button", { name: "Add an agent" }).click();
  await field("Agent").fill("research-7");
  await page.getByRole("combobox", { name: "Its signal" }).selectOption("autonomous");
  await page.getByText("Risk thresholds").click();
  await field("Loss limit used, critical from, %").fill("12.5");
  await page.getByText("Risk thresholds").click();
  await start.click();
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("name"));
  await expect.poll(focused, { timeout: PATIENCE_MS }).toBe("slow");
  expect(await field("Long average, samples").getAttribute("aria-invalid")).toBe("true");
  await page.getByText("Must be more than short average.").waitFor();
  await field("Long average, samples").fill("40");
  await start.click();
  await expect.poll(focused, { timeout: PATIENCE_MS }).toBe("lossLimit.critical");
  await page.getByText("Not below the warning.").waitFor();
  const axe = await new AxeBuilder({ page }).include("dialog").analyze();
  expect(axe.violations.map(({ id }) => id)).toEqual([]);
  expect(calls, "nothing is asked for that would be refused").toEqual([]);
  await field("Loss limit used, warning from, %").fill("7.25");
  await start.click();
  await page.waitForURL(/sessions\/abc/);
  const put = { method: "PUT", path: "/trading/risk/v1/sessions/abc/thresholds" };
  expect(calls.map(({ method, path }) => ({ method, path }))).toEqual([
    { method: "POST", path: "/trading/session/v1/sessions" },
    put,
    put,
    { method: "POST", path: "/trading/session/v1/sessions/abc/start" },
  ]);
  expect(calls[0]?.body).toMatchObject({ parameters: { fast: 30, slow: 40, execution: { stopLoss: "0.015" } } });
  expect(calls[0]?.body).toMatchObject({ parameters: { agents: { "research-7": { autonomy: "autonomous" } } } });
  expect(calls[2]?.body).toMatchObject({
    lossLimit: { warning: "0.0725", critical: "0.125" },
    exposure: { warning: "1.05", critical: "1.25" },
    repeatSeconds: 60,
  });
  expect(faults).toEqual([]);
  await context.close();
});
