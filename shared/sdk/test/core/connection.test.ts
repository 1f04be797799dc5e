import { Tickwire, type TickwireOptions } from "@tickwire/client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { connected, FakeEdge, message, pass } from "../fake-edge.js";

let edge: FakeEdge;
const clients: Tickwire[] = [];

function client(options: Partial<TickwireOptions> = {}): Tickwire {
  const made = new Tickwire({ url: "ws://a/ws", token: "t", WebSocket: edge.WebSocket, random: () => 0.5, ...options });
  clients.push(made);
  return made;
}

beforeEach(() => {
  vi.useFakeTimers();
  edge = new FakeEdge();
});

afterEach(async () => {
  for (const made of clients.splice(0)) made.destroy();
  // What the edge still had to say.
  await pass(5);
  expect(vi.getTimerCount(), "a destroyed client has no timer").toBe(0);
  vi.useRealTimers();
});

describe("connecting", () => {
  test("nothing happens before it is used", async () => {
    client();
    await pass(60_000);
    expect(edge.sockets).toHaveLength(0);
  });

  test("the token goes into the connect frame and never into the address", async () => {
    edge.serve();
    const it = client({ token: "secret", device: "phone", maxRate: 20 });
    it.connect();
    expect(it.state.status).toBe("connecting");
    await pass(1);
    expect(edge.socket.url).toBe("ws://a/ws");
    expect(edge.socket.protocols).toEqual(["tickwire.v1.json"]);
    expect(edge.socket.received[0]).toMatchObject({ type: "connect", token: "secret", device: "phone", maxRate: 20 });
    await pass(1);
    expect(it.state).toMatchObject({ status: "connected", userId: "7", node: "edge-a", transport: "websocket" });
  });

  test("an edge that never answers is given up after the timeout, and another address is tried", async () => {
    const it = client({ urls: ["ws://a/ws", "ws://b/ws"], connectTimeout: 4_000 });
    it.connect();
    await pass(3_999);
    expect(it.state.status).toBe("connecting");
    await pass(1);
    expect(it.state).toMatchObject({ status: "reconnecting", reason: "link_lost", attempt: 1, retryInMs: 1_000 });
    expect(edge.socket.isClosedByClient).toBe(true);
    await pass(1_000);
    expect(edge.sockets.map(({ url }) => url)).toEqual(["ws://a/ws", "ws://b/ws"]);
  });

  test("a socket that opens and does not greet is no connection", async () => {
    const it = client();
    it.connect();
    edge.socket.open();
    await pass(10_000);
    expect(it.state.status).toBe("reconnecting");
  });

  test("the edges that the cluster names are tried before the app's own address", async () => {
    edge.serve();
    const answer = edge.answer;
    edge.answer = (socket, command) => {
      if (command.type !== "connect") return answer(socket, command);
      setTimeout(() => socket.push(connected(command.id, { nodes: ["ws://b", "ws://c"] })));
    };
    const it = client();
    it.connect();
    await pass(10);
    for (let round = 0; round < 2; round += 1) {
      edge.socket.end(1006);
      await pass(2_500);
    }
    const [door, ...later] = edge.sockets.map(({ url }) => new URL(url).host);
    expect(door).toBe("a");
    expect(later).toEqual(["b", "c"]);
  });

  test("a path can be given where there is no page, so that a module with a client can be rendered on a server", () => {
    expect(() => new Tickwire({ url: "/ws" })).not.toThrow();
    expect(() => new Tickwire({ url: "edge.example/ws" })).toThrow(TypeError);
  });

  test("attempts may be limited", async () => {
    edge.opening = (socket) => void setTimeout(() => socket.end(1006));
    const it = client({ attempts: 2 });
    it.connect();
    await pass(30_000);
    expect(it.state).toMatchObject({ status: "error", reason: "attempts_exhausted" });
    expect(edge.sockets).toHaveLength(3);
  });

  test("the backoff begins anew only after a connection that stood for a second", async () => {
    edge.serve();
    const it = client();
    it.connect();
    await pass(10);
    for (const attempt of [1, 2, 3]) {
      expect(it.state.status).toBe("connected");
      edge.socket.end(1006);
      expect(it.state).toMatchObject({ attempt });
      await pass((it.state.retryInMs ?? 0) + 10);
    }
    await pass(1_000);
    edge.socket.end(1006);
    expect(it.state).toMatchObject({ attempt: 1 });
  });

  test.each([
    [1000, "disconnected", "closed_by_server"],
    [1009, "error", "refused"],
    [4400, "error", "refused"],
    [4403, "error", "blocked"],
    [4409, "error", "replaced"],
  ])("close code %i is final", async (code, status, reason) => {
    edge.serve();
    const it = client();
    it.connect();
    await pass(10);
    edge.socket.end(code);
    expect(it.state).toMatchObject({ status, reason, code });
    await pass(120_000);
    expect(edge.sockets).toHaveLength(1);
    it.connect();
    await pass(10);
    expect(it.state.status, "until the app begins anew").toBe("connected");
  });

  test.each([1001, 1006, 1011, 4408, 4429, 4430, 4500])("close code %i is tried again", async (code) => {
    edge.serve();
    const it = client();
    it.connect();
    await pass(10);
    edge.socket.end(code);
    expect(it.state.status).toBe("reconnecting");
    await pass(1_100);
    expect(it.state.status).toBe("connected");
  });

  test("the server's advice takes the place of the own delay", async () => {
    edge.serve();
    const it = client();
    it.connect();
    await pass(10);
    edge.socket.push({ type: "error", code: "rate_limited", message: "m", retryable: true, retryAfterMs: 30_000 });
    edge.socket.end(4429);
    expect(it.state).toMatchObject({ retryInMs: 30_000, reason: "rate_limited" });
    await pass(29_990);
    expect(edge.sockets).toHaveLength(1);
    await pass(30);
    expect(it.state.status).toBe("connected");
  });

  test("disconnect is the app's word: nothing but connect undoes it", async () => {
    edge.serve();
    const it = client();
    const subscription = it.subscribe("room:1");
    await pass(10);
    it.disconnect();
    expect(it.state).toMatchObject({ status: "disconnected", reason: "closed_here" });
    expect(subscription.status).toBe("pending");
    it.subscribe("room:2");
    await pass(60_000);
    expect(edge.sockets).toHaveLength(1);
    it.connect();
    await pass(10);
    expect(subscription.status).toBe("live");
  });

  test("garbage ends the link, not the client", async () => {
    edge.serve();
    const it = client();
    it.connect();
    await pass(10);
    edge.socket.onmessage?.({ data: "{" } as never);
    expect(it.state.status).toBe("reconnecting");
    await pass(1_100);
    expect(it.state.status).toBe("connected");
  });
});

describe("liveness", () => {
  test("a dead link of a foreground page is noticed within ten seconds", async () => {
    edge.serve();
    const it = client();
    it.connect();
    await pass(10);
    edge.answer = () => {};
    await pass(10_000);
    expect(it.state).toMatchObject({ status: "reconnecting", reason: "link_lost" });
    expect(edge.sockets[0]?.isClosedByClient).toBe(true);
  });

  test("a quiet link that answers stays", async () => {
    edge.serve();
    const it = client();
    it.connect();
    await pass(600_000);
    expect(it.state.status).toBe("connected");
    expect(edge.sockets).toHaveLength(1);
  });

  test("a busy link is not asked", async () => {
    edge.serve();
    const it = client();
    it.connect();
    for (let n = 0; n < 20; n += 1) {
      await pass(1_000);
      edge.socket.push({ type: "heartbeat", time: 1 });
    }
    expect(edge.socket.of("ping")).toHaveLength(0);
  });

  test("a timer that slept for an hour asks before it judges", async () => {
    edge.serve();
    const it = client();
    it.connect();
    await pass(10);
    const now = performance.now();
    vi.spyOn(performance, "now").mockImplementation(() => now + 3_600_000);
    await pass(6_100);
    expect(edge.socket.of("ping").length).toBeGreaterThan(0);
    expect(it.state.status).toBe("connected");
    vi.restoreAllMocks();
  });
});

describe("tokens", () => {
  test("a token is replaced before its end without a new connection", async () => {
    edge.serve();
    const begun = performance.now();
    const getToken = vi.fn(async () => `t-${getToken.mock.calls.length}`);
    const it = client({ token: undefined, getToken });
    edge.answer = (socket, command) => {
      if (command.type === "connect") socket.push(connected(command.id, { expiresAt: 1_100_000 }));
      if (command.type === "refresh")
        socket.push({ id: command.id, type: "refreshed", expiresAt: Math.round(1_100_000 + performance.now() - begun) });
      if (command.type === "ping") socket.push({ id: command.id, type: "pong", time: 1 });
    };
    it.connect();
    await pass(69_000);
    expect(getToken).toHaveBeenCalledTimes(1);
    await pass(10_000);
    expect(edge.socket.of("refresh")).toMatchObject([{ token: "t-2" }]);
    await pass(60_000);
    expect(edge.sockets).toHaveLength(1);
    expect(getToken).toHaveBeenCalledTimes(2);
    await pass(60_000);
    expect(getToken).toHaveBeenCalledTimes(3);
  });

  test("bad tokens make no storm: three are refused, then it ends", async () => {
    edge.serve();
    edge.answer = (socket) => void setTimeout(() => socket.end(4401));
    const getToken = vi.fn(async () => "bad");
    const it = client({ token: undefined, getToken });
    it.connect();
    await pass(600_000);
    expect(it.state).toMatchObject({ status: "error", reason: "unauthenticated", code: 4401 });
    expect(getToken).toHaveBeenCalledTimes(3);
    expect(edge.sockets).toHaveLength(3);
  });

  test("a token that cannot be renewed is not sent again", async () => {
    edge.serve();
    edge.answer = (socket) => void setTimeout(() => socket.end(4401));
    const it = client();
    it.connect();
    await pass(600_000);
    expect(it.state).toMatchObject({ status: "error", reason: "unauthenticated" });
    expect(edge.sockets).toHaveLength(1);
  });

  test("one question at a time, however often the link breaks meanwhile", async () => {
    edge.serve();
    let answer: (token: string) => void = () => {};
    const getToken = vi.fn(() => new Promise<string>((resolve) => (answer = resolve)));
    const it = client({ token: undefined, getToken, offlineTimeout: 1_000 });
    it.connect();
    await pass(60_000);
    expect(getToken).toHaveBeenCalledTimes(1);
    answer("t");
    await pass(12_000);
    expect(it.state.status).toBe("connected");
    expect(getToken).toHaveBeenCalledTimes(1);
  });

  test("getToken that throws is reported and asked again later", async () => {
    edge.serve();
    const onListenerError = vi.fn();
    const getToken = vi.fn().mockRejectedValueOnce(new Error("offline")).mockResolvedValue("t");
    const it = client({ token: undefined, getToken, onListenerError });
    it.connect();
    await pass(10);
    expect(it.state.status).toBe("reconnecting");
    expect(onListenerError).toHaveBeenCalledTimes(1);
    await pass(1_100);
    expect(it.state.status).toBe("connected");
  });
});

describe("make before break", () => {
  const room = "room:1";

  test("a draining node serves until its successor does, and nothing is doubled", async () => {
    edge.serve();
    const it = client({ urls: ["ws://a/ws", "ws://b/ws"] });
    const seen: unknown[] = [];
    const states: string[] = [];
    it.on("state", ({ status }) => states.push(status));
    const subscription = it.subscribe(room);
    subscription.on("message", ({ data }) => seen.push(data));
    await pass(10);
    const old = edge.socket;
    old.push(message(room, "1-1", 1));
    old.push({ type: "reconnect", reason: "draining", afterMs: 500 });
    await pass(400);
    old.push(message(room, "1-2", 2));
    edge.answer = (socket, command) => {
      if (command.type === "connect") socket.push(connected(command.id, { node: "edge-b" }));
    };
    await pass(102);
    const next = edge.socket;
    expect(next).not.toBe(old);
    expect(next.url).toBe("ws://b/ws");
    old.push(message(room, "1-3", 3));
    const [asked] = next.of("subscribe");
    expect(asked?.channels).toMatchObject([{ channel: room, since: "1-2" }]);
    next.push(
      {
        id: asked?.id,
        type: "subscribed",
        channel: room,
        class: "reliable",
        position: "1-4",
        recovered: true,
        messages: [message(room, "1-3", 3), message(room, "1-4", 4)],
      },
      message(room, "1-5", 5),
    );
    expect(old.isClosedByClient).toBe(true);
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(states, "the app sees no break").toEqual(["connecting", "connected", "connected"]);
    expect(it.state).toMatchObject({ node: "edge-b" });
    expect(subscription.status).toBe("live");
  });

  test("a successor that fails changes nothing", async () => {
    edge.serve();
    const it = client();
    const seen: unknown[] = [];
    it.subscribe(room).on("message", ({ data }) => seen.push(data));
    await pass(10);
    const old = edge.socket;
    edge.opening = (socket) => void setTimeout(() => socket.end(1006));
    old.push({ type: "reconnect", reason: "draining", afterMs: 0 });
    await pass(5_000);
    expect(edge.sockets.length).toBeGreaterThan(2);
    old.push(message(room, "1-1", 1));
    expect(seen).toEqual([1]);
    expect(it.state.status).toBe("connected");
  });

  test("what a successor that was given up says further in the same packet is not heard", async () => {
    edge.serve();
    const it = client();
    const [seen, gaps]: [unknown[], unknown[]] = [[], []];
    const subscription = it.subscribe(room);
    subscription.on("message", ({ data }) => seen.push(data));
    subscription.on("gap", (gap) => gaps.push(gap));
    await pass(10);
    const old = edge.socket;
    edge.answer = (socket, command) => {
      if (command.type === "connect") socket.push(connected(command.id));
    };
    old.push({ type: "reconnect", reason: "draining", afterMs: 0 });
    await pass(10);
    const next = edge.socket;
    expect(next).not.toBe(old);
    next.push({ type: "reconnect", reason: "draining", afterMs: 0 }, message(room, "9-9", "stray"));
    old.push(message(room, "1-1", 1));
    expect([seen, gaps]).toEqual([[1], []]);
    expect(old.of("unsubscribe"), "nothing is asked for anew").toEqual([]);
    expect(it.state.status).toBe("connected");
  });

  test("an old node that ends first hands over to a successor under way", async () => {
    edge.serve();
    const it = client();
    it.subscribe(room);
    await pass(10);
    const old = edge.socket;
    edge.opening = () => {};
    old.push({ type: "reconnect", reason: "draining", afterMs: 0 });
    await pass(1);
    const next = edge.socket;
    old.end(1001);
    expect(it.state.status).toBe("reconnecting");
    next.open();
    await pass(10);
    expect(it.state.status).toBe("connected");
    expect(edge.sockets).toHaveLength(2);
  });

  test("an old node that falls silent hands over, too", async () => {
    edge.serve();
    const it = client();
    it.subscribe(room);
    await pass(10);
    edge.opening = () => {};
    edge.answer = () => {};
    await pass(5_000);
    const old = edge.socket;
    old.push({ type: "reconnect", reason: "draining", afterMs: 2_000 });
    await pass(9_500);
    expect(old.isClosedByClient).toBe(true);
    expect(edge.sockets, "the successor under way is taken, none is begun anew").toHaveLength(2);
    edge.serve();
    edge.socket.open();
    await pass(10);
    expect(it.state.status).toBe("connected");
  });

  test("an alert that is acknowledged while the successor answers is not shown again", async () => {
    const alert = message("user:7", "1-1", "alert", { priority: "critical" });
    const owed = { class: "inbox", position: "1-1", recovered: true, messages: [alert] };
    edge.serve(() => owed);
    const seen: unknown[] = [];
    client()
      .subscribe("user:7")
      .on("message", ({ data }) => seen.push(data));
    await pass(10);
    const old = edge.socket;
    edge.answer = (socket, command) => {
      if (command.type === "connect") socket.push(connected(command.id));
    };
    old.push({ type: "reconnect", reason: "draining", afterMs: 0 });
    await pass(10);
    const next = edge.socket;
    old.push({ type: "acked", channel: "user:7", position: "1-1" });
    // The inbox was read before the acknowledgement reached it.
    next.push({ id: next.of("subscribe")[0]?.id, type: "subscribed", channel: "user:7", ...owed });
    expect(old.isClosedByClient).toBe(true);
    expect(seen).toEqual(["alert"]);
  });

  test("a channel that has moved is heard on the successor alone: no older value after a newer one", async () => {
    edge.serve((channel) => ({
      class: "latest",
      recovered: false,
      messages: [message(channel, undefined, "old", { key: "k" })],
    }));
    const it = client();
    const seen: unknown[] = [];
    it.subscribe("prices:A").on("message", ({ data }) => seen.push(data));
    it.subscribe("prices:B");
    await pass(10);
    const old = edge.socket;
    edge.answer = (socket, command) => {
      if (command.type === "connect") socket.push(connected(command.id));
    };
    old.push({ type: "reconnect", reason: "draining", afterMs: 0 });
    await pass(10);
    const next = edge.socket;
    const [asked] = next.of("subscribe");
    old.push(message("prices:A", undefined, "meanwhile", { key: "k", time: 3 }));
    const newer = message("prices:A", undefined, "newer", { key: "k", time: 2 });
    next.push({ id: asked?.id, type: "subscribed", channel: "prices:A", class: "latest", recovered: false, messages: [newer] });
    old.push(message("prices:A", undefined, "late", { key: "k" }));
    expect(seen).toEqual(["old", "newer"]);
    expect(old.isClosedByClient, "the other channel is still there").toBe(false);
  });
});
