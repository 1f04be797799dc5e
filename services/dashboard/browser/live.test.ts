import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isLive, launch, open, type Watched } from "./browser";
import { Cluster, PATIENCE_MS } from "./cluster";

const SHOTS = fileURLToPath(new URL("../screenshots/", import.meta.url));
/** Within which everything moves that a first run shows. */
const MOVES_WITHIN_MS = 5_000;

let cluster: Cluster;
let browser: Browser;
let watched: Watched;

/** As `cargo xtask up` starts it: no key, no configuration, but for the ports. */
beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true });
  cluster = await Cluster.start({ isFirstRun: true });
  browser = await launch();
  watched = await open(browser, cluster.url);
  await watched.page.getByRole("button", { name: "Continue as dev" }).click();
  await isLive(watched);
});

afterAll(async () => {
  await browser?.close();
  await cluster?.down();
});

/** How long it takes until what is there has become something else, milliseconds. */
async function untilItMoves(selector: string): Promise<number> {
  const all = watched.page.locator(selector);
  const begun = performance.now();
  await all.first().waitFor();
  const read = async () => (await all.allInnerTexts()).join(" ");
  const before = await read();
  await expect.poll(read, { timeout: PATIENCE_MS, interval: 50 }).not.toBe(before);
  return performance.now() - begun;
}

// A machine that does something else may be late once.
test.each([
  ["prices", "/markets", "Watch list", ".table tbody tr:first-child td:nth-child(2)"],
  ["the book", "/markets", "Spread", ".ladder tbody.bids"],
  ["the depth chart", "/markets", "bid ·", ".depth-chart figcaption"],
  ["trades", "/markets", "Trades", ".tape tbody tr"],
  ["the sessions of the demo", "/", "active", ".card"],
] as const)("%s move within five seconds without configuration", { retry: 2 }, async (what, path, shows, selector) => {
  const { page } = watched;
  await page.goto(cluster.url + path);
  await isLive(watched);
  await page.getByText(shows).first().waitFor();
  const took = await untilItMoves(selector);
  console.log(`${what}: ${took.toFixed(0)} ms`);
  expect(took).toBeLessThan(MOVES_WITHIN_MS);
});

test("the demo's bots gain and lose", async () => {
  const { page } = watched;
  await page.goto(cluster.url);
  await page.locator(".card-figure", { hasText: /\d/ }).first().waitFor();
  // Flat bots have a P&L that rests: not within five seconds, but soon.
  const took = await untilItMoves(".card-figures");
  console.log(`P&L of the demo: ${took.toFixed(0)} ms`);
});

test("a bot that is started here decides with its reasons, trades, moves on every screen, and obeys", async () => {
  const { page, faults } = watched;
  const patient = { timeout: PATIENCE_MS };
  await page.goto(cluster.url);
  await page.getByRole("button", { name: "New session" }).click();
  await page.getByRole("combobox", { name: "Strategy" }).selectOption("book-imbalance");
  await page.getByText(/Follows the side of the book/).waitFor();
  await page.getByRole("textbox", { name: "Levels, levels" }).fill("7");
  await page.getByText("Risk thresholds").click();
  await page.getByRole("textbox", { name: "Loss limit used, warning from, %" }).fill("62.5");
  await page.screenshot({ path: `${SHOTS}live-new-session.png` });
  const size = page.viewportSize() ?? { width: 1_440, height: 900 };
  await page.setViewportSize({ width: 390, height: 844 });
  const dialog = page.getByRole("dialog", { name: "New session" });
  const sideways = () =>
    dialog.evaluate((it) => Math.max(...[...it.querySelectorAll("*")].map((of) => of.getBoundingClientRect().right)));
  expect(await sideways(), "nothing of the dialog sticks out on a phone").toBeLessThanOrEqual(390);
  await page.screenshot({ path: `${SHOTS}live-new-session-mobile.png` });
  await page.setViewportSize(size);
  await page.getByRole("button", { name: "Start session" }).click();
  await page.waitForURL(/\/sessions\//);
  await page.getByText("active", { exact: true }).first().waitFor();
  const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
  const decisions = page.getByRole("region", { name: "Newest decisions" });
  await decisions
    .getByText(/of the best 7 levels/)
    .first()
    .waitFor();
  await page.getByRole("region", { name: "Trades of the session" }).getByText("BTC/USDT").first().waitFor();
  await page.screenshot({ path: `${SHOTS}live-session.png` });

  // Risk has what was set, and takes another value while the session runs.
  const level = (of: string) => page.getByRole("textbox", { name: `Loss limit used, ${of} from, %` });
  const thresholds = page.getByRole("button", { name: "Thresholds" });
  await thresholds.click();
  await expect.poll(() => level("warning").inputValue(), patient).toBe("62.5");
  expect(await page.getByRole("textbox", { name: "Exposure, critical from, %" }).inputValue(), "risk's default").toBe("125");
  await page.screenshot({ path: `${SHOTS}live-thresholds.png` });
  await level("critical").fill("60");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Not below the warning.").waitFor();
  await level("critical").fill("90");
  await page.getByRole("button", { name: "Save" }).click();
  await level("critical").waitFor({ state: "detached" });
  const risk = page.getByRole("region", { name: "Values under watch" });
  await risk.getByText(/warning from 62.5 %, critical from 90 %/).waitFor();

  // The overview has it too, by its events alone.
  await page.getByRole("link", { name: "Overview" }).first().click();
  const card = page.locator(".card", { hasText: id });
  await expect.poll(() => card.locator(".card-figure").innerText(), patient).toMatch(/\d/);
  const before = await card.innerText();
  await expect.poll(() => card.innerText(), patient).not.toBe(before);
  await page.screenshot({ path: `${SHOTS}live-overview.png` });
  await card.click();

  const said = page.locator(".controls [role=status]");
  for (const [button, then] of [
    ["Pause", "paused"],
    ["Resume", "active"],
  ] as const) {
    await page.getByRole("button", { name: button, exact: true }).click();
    await expect.poll(() => said.innerText(), patient).toBe(`The session is ${then}.`);
  }
  await page.getByRole("button", { name: "Emergency stop" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Emergency stop" }).click();
  await expect.poll(() => said.innerText(), patient).toBe("The session is emergency stopped.");
  // What risk did about it is told in the inbox, and stays there; nothing is held any more.
  await page.locator(".toast-critical", { hasText: "its user asked" }).first().waitFor();
  await page.getByText("No open position").waitFor();
  const stop = page.getByRole("progressbar", { name: "Emergency stop" });
  await expect.poll(() => stop.getAttribute("aria-valuetext"), patient).toBe("3 of 3 done: all done");
  await page.screenshot({ path: `${SHOTS}live-stopped.png`, fullPage: true });
  expect(await page.getByRole("button", { name: "Pause" }).count(), "what is over takes no command").toBe(0);
  expect(faults).toEqual([]);
});

/** Calls a service as the page does, with the token that a developer gets by one click. */
function call<T>(service: string, path: string, body: object): Promise<T> {
  return watched.page.evaluate(
    async ([service, path, body]) => {
      const json = async (url: string, init?: RequestInit) => {
        const answer = await fetch(url, init);
        if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
        return answer.json();
      };
      const { services } = await json("/dashboard.json");
      const { people } = await json("/development.json");
      const { token } = people.find(({ user }: { user: string }) => user === "dev");
      const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
      return json(services[service] + path, { method: "POST", headers, body: JSON.stringify(body) });
    },
    [service, path, body] as const,
  ) as Promise<T>;
}

test("an agent's signal waits for its user, and is executed once approved", async () => {
  const { page, faults } = watched;
  const { sessionId } = await call<{ sessionId: string }>("session", "/v1/sessions", {
    algorithmId: "book-imbalance",
    // Never acts by itself.
    parameters: { entry: 1, exit: 0, agents: { research: { autonomy: "approval", approvalMs: 600_000 } } },
    symbols: ["binance:BTC/USDT"],
    capital: "10000",
    limits: { lossLimit: "500" },
  });
  await call("session", `/v1/sessions/${sessionId}/start`, {});
  const signal = { symbol: "binance:BTC/USDT", action: "buy", quantity: "0.01", confidence: 0.8 };
  const says = { id: "s-1", agent: "research", reasoning: "Three sources agree.", ...signal };
  await expect
    .poll(() => call("algorithm", `/v1/accounts/${sessionId}/signals`, says).then(Boolean, () => false), {
      timeout: PATIENCE_MS,
    })
    .toBe(true);
  await page.goto(`${cluster.url}/agents`);
  await isLive(watched);
  const waiting = page.getByRole("region", { name: "Signals that wait" });
  await waiting.getByText("Three sources agree.").waitFor();
  await waiting.getByRole("button", { name: "Approve" }).click();
  const answered = page.getByRole("region", { name: "Signals that were answered" });
  await answered.getByText("executed").waitFor();
  await page.goto(`${cluster.url}/sessions/${sessionId}`);
  await page.getByRole("region", { name: "Trades of the session" }).getByText("0.01").first().waitFor();
  expect(faults).toEqual([]);
});
