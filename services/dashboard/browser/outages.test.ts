import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch, open, type Watched } from "./browser";
import { Cluster, token } from "./cluster";

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

async function signedIn(user: string, seconds?: number): Promise<Watched> {
  const watched = await open(browser, `${cluster.url}/#token=${token(user, ["desk"], seconds)}`);
  await watched.page.getByText("Live", { exact: true }).first().waitFor();
  return watched;
}

const notify = (user: string, title: string) =>
  cluster.emit(`/v1/users/${user}/notify`, { type: "note", title, priority: "high" });

/** The titles in the inbox, newest first. */
const titles = ({ page }: Watched) => page.locator(".inbox-title strong").allTextContents();

test("a cut network is told, and what was missed comes once and in order", async () => {
  const watched = await signedIn("cut");
  const { page, context, faults } = watched;
  await page.getByRole("link", { name: /^Notifications/ }).click();
  await notify("cut", "one");
  await expect.poll(() => titles(watched), { timeout: 20_000 }).toEqual(["one"]);
  await context.setOffline(true);
  await page.getByText(/Reconnecting:|Not connected:/).waitFor();
  await notify("cut", "two");
  await notify("cut", "three");
  await context.setOffline(false);
  await expect.poll(() => titles(watched), { timeout: 30_000 }).toEqual(["three", "two", "one"]);
  await page.getByText("Live", { exact: true }).first().waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

test("a critical alert stays until it is acknowledged", async () => {
  const { page, context, faults } = await signedIn("critical");
  const alert = {
    sessionId: "s",
    userId: "critical",
    alertLevel: "critical",
    alertType: "loss_limit",
    message: "95 % is used",
    currentValue: "950",
    threshold: "1000",
  };
  await cluster.event("risk-alert", alert);
  const toast = page.locator(".toast-critical");
  await toast.waitFor();
  await page.keyboard.press("Escape");
  await page.waitForTimeout(500);
  expect(await toast.count()).toBe(1);
  expect(await page.locator('[aria-live="assertive"]').first().textContent()).toContain("95 % is used");
  await toast.getByRole("button", { name: "Acknowledge" }).click();
  await expect.poll(() => toast.count(), { timeout: 20_000 }).toBe(0);
  expect(faults).toEqual([]);
  await context.close();
});

test("an expired token leads to the sign-in with its reason", async () => {
  const { page, context } = await signedIn("short", 6);
  await page.getByText("Your token has expired").waitFor();
  await context.close();
});

test("a killed edge is told, and the page goes on when it is back", async () => {
  const { page, context, faults } = await signedIn("killed");
  await cluster.down();
  await page.getByText(/Reconnecting:/).waitFor();
  await cluster.up();
  await page.getByText("Live", { exact: true }).first().waitFor();
  await notify("killed", "after the restart");
  await page.getByText("after the restart").first().waitFor();
  expect(faults).toEqual([]);
  await context.close();
});
