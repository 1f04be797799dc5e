import type { Browser, Route } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isLive, launch, open } from "./browser";
import { Cluster, token } from "./cluster";

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
