// @vitest-environment jsdom
import { Tickwire, type TickwireOptions } from "@tickwire/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeEdge, pass } from "../fake-edge.js";

let edge: FakeEdge;
let client: Tickwire;

function start(options: Partial<TickwireOptions> = {}): void {
  client = new Tickwire({ url: "ws://a/ws", token: "t", WebSocket: edge.WebSocket, random: () => 0.99, ...options });
  client.connect();
}

function show(state: "visible" | "hidden"): void {
  vi.spyOn(document, "visibilityState", "get").mockReturnValue(state);
  document.dispatchEvent(new Event("visibilitychange"));
}

beforeEach(() => {
  vi.useFakeTimers();
  edge = new FakeEdge();
  edge.serve();
});

afterEach(async () => {
  client.destroy();
  vi.restoreAllMocks();
  await pass(5);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** A client that waits some seconds for its next attempt. */
async function waiting(): Promise<void> {
  start();
  await pass(10);
  edge.opening = (socket) => void setTimeout(() => socket.end(1006));
  edge.socket.end(1006);
  await pass(2_100);
  expect(client.state.retryInMs).toBeGreaterThan(1_000);
  edge.serve();
}

test.each([
  ["online", () => window.dispatchEvent(new Event("online"))],
  ["pageshow", () => window.dispatchEvent(new Event("pageshow"))],
  ["resume", () => document.dispatchEvent(new Event("resume"))],
  ["visibilitychange", () => show("visible")],
])("%s wakes a waiting client within 250 ms", async (_, happen) => {
  await waiting();
  happen();
  await pass(252);
  expect(client.state.status).toBe("connected");
});

test("a loss that the browser tells of just after it came back is mended as soon", async () => {
  start();
  await pass(5_000);
  document.dispatchEvent(new Event("resume"));
  edge.socket.end(1006);
  expect(client.state.status).toBe("reconnecting");
  await pass(252);
  expect(client.state.status).toBe("connected");
  edge.socket.end(1006);
  expect(client.state.retryInMs, "once").toBeGreaterThan(1_000);
});

test("what the server advised no event shortens", async () => {
  start();
  await pass(10);
  edge.socket.push({ type: "error", code: "rate_limited", message: "m", retryable: true, retryAfterMs: 30_000 });
  edge.socket.end(4429);
  window.dispatchEvent(new Event("online"));
  await pass(29_900);
  expect(edge.sockets).toHaveLength(1);
  await pass(200);
  expect(client.state.status).toBe("connected");
});

test("a hidden page does not ask, and asks as soon as it is seen", async () => {
  start();
  await pass(10);
  show("hidden");
  await pass(40_000);
  expect(edge.socket.of("ping")).toHaveLength(0);
  show("visible");
  expect(edge.socket.of("ping")).toHaveLength(1);
  edge.answer = () => {};
  await pass(5);
  show("visible");
  await pass(3_100);
  expect(client.state.status).toBe("reconnecting");
});

test("a page that is left closes its connection, and goes on where it stood when it comes back", async () => {
  start();
  const subscription = client.subscribe("session:1");
  await pass(10);
  const left = edge.socket;
  window.dispatchEvent(new Event("pagehide"));
  expect(left.isClosedByClient).toBe(true);
  expect(client.state).toMatchObject({ status: "reconnecting", reason: "page_left" });
  await pass(600_000);
  expect(edge.sockets).toHaveLength(1);
  window.dispatchEvent(new Event("pageshow"));
  await pass(300);
  expect(client.state.status).toBe("connected");
  expect(subscription.status).toBe("live");
  expect(edge.socket.of("subscribe")[0]?.channels).toEqual([{ channel: "session:1", since: "1-0" }]);
});

test("a change of the network asks, and leaves a link that answers alone", async () => {
  start();
  await pass(10);
  window.dispatchEvent(new Event("offline"));
  await pass(5_000);
  expect(edge.socket.of("ping")).toHaveLength(1);
  expect(client.state.status).toBe("connected");
});

test("no listener is left after destroy", async () => {
  const added = vi.spyOn(window, "addEventListener");
  const addedToDocument = vi.spyOn(document, "addEventListener");
  start();
  await pass(10);
  client.destroy();
  for (const [, , options] of [...added.mock.calls, ...addedToDocument.mock.calls]) {
    expect((options as AddEventListenerOptions).signal?.aborted).toBe(true);
  }
  expect(added.mock.calls.length).toBeGreaterThan(0);
});
