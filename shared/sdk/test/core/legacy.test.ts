import { RealTimeIntegrationManager, UpdateQueue, WebSocketClient, WebSocketService } from "@tickwire/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeEdge, message, pass } from "../fake-edge.js";

let edge: FakeEdge;

beforeEach(() => {
  vi.useFakeTimers();
  edge = new FakeEdge();
  edge.serve();
});

afterEach(async () => {
  await pass(5);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function service(more: object = {}): WebSocketService {
  const url = "ws://a/ws?token=secret";
  return new WebSocketService({ url, reconnectInterval: 1_000, maxReconnectAttempts: 2, WebSocket: edge.WebSocket, ...more });
}

test("a service connects, hands out messages by type, and reports what happens", async () => {
  const it = service();
  const told: unknown[] = [];
  it.setEventHandlers({
    onOpen: () => told.push("open"),
    onClose: () => told.push("close"),
    onReconnect: (attempt) => told.push(`reconnect ${attempt}`),
    onReconnectFailed: () => told.push("failed"),
    onError: () => told.push("error"),
    onMessage: ({ channel }) => told.push(channel),
  });
  const connected = it.connect();
  await pass(10);
  await connected;
  expect(edge.socket.url, "no token in the address").toBe("ws://a/ws");
  expect(edge.socket.of("connect")).toMatchObject([{ token: "secret" }]);
  expect([it.getConnectionStatus(), it.getConnectionState()]).toEqual([true, "connected"]);
  const seen: unknown[] = [];
  const off = it.subscribe("order_update", (data) => seen.push(data));
  it.subscribeToChannel("orders", { symbol: "X" });
  it.subscribeToChannel("orders");
  await pass(10);
  expect(edge.socket.of("subscribe")).toMatchObject([{ channels: [{ channel: "orders", params: { symbol: "X" } }] }]);
  edge.socket.push(message("orders", "1-1", { type: "order_update", n: 1 }), message("orders", "1-2", { type: "other" }));
  off();
  edge.socket.push(message("orders", "1-3", { type: "order_update", n: 3 }));
  expect(seen).toEqual([{ type: "order_update", n: 1 }]);
  edge.opening = (socket) => void setTimeout(() => socket.end(1006));
  edge.socket.end(1006);
  await pass(30_000);
  expect(told).toEqual(["open", "orders", "orders", "orders", "close", "reconnect 1", "reconnect 2", "error", "failed"]);
  it.unsubscribeFromChannel("orders");
  it.destroy();
});

test("connect fails where there is no hope", async () => {
  edge.answer = (socket) => void setTimeout(() => socket.end(4403));
  const it = service();
  const failed = expect(it.connect()).rejects.toThrow("blocked");
  await pass(10);
  await failed;
  it.destroy();
});

test("the client is the service under other names", async () => {
  const it = new WebSocketClient({ url: "ws://a/ws", protocols: ["bearer.abc"], WebSocket: edge.WebSocket });
  void it.connect();
  await pass(10);
  expect(it.isConnected()).toBe(true);
  expect(edge.socket.of("connect")).toMatchObject([{ token: "abc" }]);
  const seen: unknown[] = [];
  it.onMessage("*", (data) => seen.push(data));
  it.sendMessage({ type: "subscribe", channel: "room:1" });
  await pass(10);
  edge.socket.push(message("room:1", "1-1", { type: "x" }));
  it.offMessage("*");
  edge.socket.push(message("room:1", "1-2", { type: "x" }));
  expect(seen).toHaveLength(1);
  it.sendMessage({ type: "publish", channel: "room:1", data: { n: 1 } });
  expect(edge.socket.of("publish")).toMatchObject([{ channel: "room:1", data: { n: 1 } }]);
  it.destroy();
});

test("the manager routes by service, topic and type, caches, throttles, and looks after its backends", async () => {
  const backend = { url: "ws://a/ws", token: "t", WebSocket: edge.WebSocket };
  const manager = new RealTimeIntegrationManager({
    services: [
      { name: "low", priority: "low", ...backend, url: "ws://low/ws" },
      { name: "wallet", priority: "critical", topics: ["wallet-events"], ...backend },
    ],
  });
  manager.subscribe("wallet", "prices:X");
  manager.subscribe("wallet", "prices:Y");
  manager.unsubscribe("wallet", "prices:Y");
  expect(edge.sockets).toHaveLength(0);
  manager.initialize();
  await pass(10);
  expect(edge.sockets.map(({ url }) => url)).toEqual(["ws://a/ws", "ws://low/ws"]);
  const [socket] = edge.sockets;
  expect(socket?.of("subscribe").flatMap(({ channels }) => channels)).toMatchObject([
    { channel: "wallet-events" },
    { channel: "prices:X" },
  ]);
  const routed: string[] = [];
  manager.on("wallet.*.balance_update", ({ channel }) => routed.push(channel));
  manager.on("low.*.*", () => routed.push("wrong"));
  const ticks: unknown[] = [];
  manager.onEvent("tick", ({ data }) => ticks.push(data.price));
  socket?.push(message("wallet-events", "1-1", { type: "balance_update", asset: "BTC", free: "1" }));
  for (const price of ["1", "2", "3"])
    socket?.push(message("prices:X", undefined, { type: "market_data", symbol: "X", price }));
  await pass(200);
  expect(routed).toEqual(["wallet-events"]);
  expect(manager.balance("BTC")).toMatchObject({ free: "1" });
  expect(manager.price("X")).toMatchObject({ price: "3" });
  expect(ticks, "the last value of each interval").toEqual(["3"]);
  socket?.push({ type: "unsubscribed", channel: "wallet-events" });
  manager.subscribe("wallet", "wallet-events");
  await pass(10);
  expect(socket?.of("subscribe").at(-1)?.channels, "a topic that was taken away is asked for anew").toMatchObject([
    { channel: "wallet-events" },
  ]);
  const answer = edge.answer;
  edge.answer = (to, command) => (to === socket ? answer(to, command) : undefined);
  await pass(30_000);
  await pass(11_000);
  expect(manager.health().get("wallet")).toMatchObject({ isHealthy: true });
  expect(manager.health().get("low")).toMatchObject({ isHealthy: false, latencyMs: undefined });
  manager.shutdown();
});

test("a backend that answers too slowly is unhealthy, and a page with too much memory in use empties the caches", async () => {
  const backend = { url: "ws://a/ws", token: "t", WebSocket: edge.WebSocket, pingAfter: 600_000 };
  const manager = new RealTimeIntegrationManager({ services: [{ name: "a", topics: ["prices:X"], ...backend }] });
  manager.initialize();
  await pass(10);
  edge.socket.push(message("prices:X", undefined, { type: "market_data", symbol: "X", price: "1" }));
  const used: number[] = [];
  manager.onEvent("memory", ({ usedBytes }) => used.push(usedBytes));
  Object.assign(performance, { memory: { usedJSHeapSize: 2 ** 29 } });
  const answer = edge.answer;
  edge.answer = (to, command) => void setTimeout(() => answer(to, command), 6_000);
  void manager.checkHealth();
  await pass(6_100);
  Object.assign(performance, { memory: undefined });
  expect(manager.health().get("a")).toMatchObject({ isHealthy: false });
  expect(manager.health().get("a")?.latencyMs).toBeGreaterThan(5_000);
  expect([used, manager.price("X")]).toEqual([[2 ** 29], undefined]);
  manager.shutdown();
});

test("updates run by priority, the least urgent give way, and an error stops none", async () => {
  const report = vi.fn();
  const queue = new UpdateQueue(report);
  const ran: string[] = [];
  queue.push("low", () => ran.push("low"));
  queue.push("high", () => {
    throw new Error("of the app");
  });
  queue.push("critical", () => ran.push("critical"));
  await pass(20);
  expect(ran).toEqual(["critical", "low"]);
  expect(report).toHaveBeenCalledTimes(1);
  for (let n = 0; n < 1_001; n += 1) queue.push("low", () => {});
  expect([queue.size, queue.dropped]).toEqual([1_000, 1]);
  queue.clear();
});
