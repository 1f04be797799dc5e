import { Tickwire, TickwireError, type TickwireOptions } from "@tickwire/client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeEdge, message, pass } from "../fake-edge.js";

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
  edge.serve();
});

afterEach(async () => {
  for (const made of clients.splice(0)) made.destroy();
  // What the edge still had to say.
  await pass(5);
  expect(vi.getTimerCount(), "a destroyed client has no timer").toBe(0);
  vi.useRealTimers();
});

async function breakLink(): Promise<void> {
  edge.socket.end(1006);
  await pass(2_500);
}

describe("recovery", () => {
  test("each subscription goes on from its last position, once and in order", async () => {
    const it = client();
    const seen: unknown[] = [];
    const subscription = it.subscribe("room:1");
    subscription.on("message", ({ data, recovered }) => seen.push([data, recovered]));
    await pass(10);
    edge.socket.push(message("room:1", "1-1", "a"), message("room:1", "1-2", "b"));
    edge.serve((channel, since) => ({
      position: "1-4",
      recovered: since === "1-2",
      messages: [message(channel, "1-3", "c"), message(channel, "1-4", "d")],
    }));
    await breakLink();
    edge.socket.push(message("room:1", "1-4", "d"), message("room:1", "1-5", "e"));
    expect(seen).toEqual([
      ["a", false],
      ["b", false],
      ["c", true],
      ["d", true],
      ["e", false],
    ]);
  });

  test("what could not be recovered is said, and what follows counts from there", async () => {
    const it = client();
    const gaps: unknown[] = [];
    const seen: unknown[] = [];
    const subscription = it.subscribe("room:1");
    subscription.on("gap", ({ reason, position }) => gaps.push([reason, position]));
    subscription.on("message", ({ data }) => seen.push(data));
    await pass(10);
    edge.socket.push(message("room:1", "1-1", 1));
    edge.serve(() => ({ position: "2-7", recovered: false }));
    await breakLink();
    edge.socket.push(message("room:1", "2-8", 8));
    edge.socket.push(
      { type: "reset", channel: "room:1", position: "3-0", reason: "history_lost" },
      message("room:1", "3-1", 31),
    );
    expect(gaps).toEqual([
      ["not_recovered", "2-7"],
      ["history_lost", "3-0"],
    ]);
    expect(seen).toEqual([1, 8, 31]);
  });

  test("a hole in the positions makes it ask again, and nothing after the hole is handed out before", async () => {
    const it = client();
    const seen: unknown[] = [];
    it.subscribe("room:1").on("message", ({ data }) => seen.push(data));
    await pass(10);
    edge.serve((channel) => ({
      position: "1-3",
      recovered: true,
      messages: [1, 2, 3].map((n) => message(channel, `1-${n}`, n)),
    }));
    edge.socket.push(message("room:1", "1-2", 2));
    expect(seen).toEqual([]);
    await pass(10);
    expect(seen).toEqual([1, 2, 3]);
    expect(edge.socket.of("unsubscribe")).toHaveLength(1);
  });

  test("an alert that is owed comes once, however often the server brings it", async () => {
    const owed = message("user:7", "1-1", "alert", { priority: "critical" });
    edge.serve(() => ({ class: "inbox", position: "1-1", recovered: true, messages: [owed] }));
    const it = client();
    const seen: unknown[] = [];
    const settled: unknown[] = [];
    const inbox = it.subscribe("user:7");
    inbox.on("message", ({ data }) => seen.push(data));
    inbox.on("acknowledged", ({ positions }) => settled.push(...positions));
    await pass(10);
    await breakLink();
    expect(seen).toEqual(["alert"]);
    edge.serve(() => ({ class: "inbox", position: "1-1", recovered: true, messages: [] }));
    await breakLink();
    expect(settled, "acknowledged on another device meanwhile").toEqual(["1-1"]);
  });

  test("changes are put together, and a change of a value that is not here asks for whole ones", async () => {
    const value = message("prices:X", undefined, { price: "1", bid: "2" }, { key: "X", time: 17 });
    edge.serve(() => ({ class: "latest", recovered: false, messages: [value] }));
    const it = client();
    const seen: unknown[] = [];
    it.subscribe("prices:X", { delta: true }).on("message", ({ data }) => seen.push(data));
    await pass(10);
    const change = {
      type: "message",
      channel: "prices:X",
      key: "X",
      time: 18,
      base: 17,
      delta: { price: "3" },
      removed: ["bid"],
    };
    edge.socket.push(change);
    expect(seen).toEqual([{ price: "1", bid: "2" }, { price: "3" }]);
    edge.socket.push({ ...change, time: 30, base: 29 });
    await pass(10);
    expect(edge.socket.of("subscribe")).toHaveLength(2);
  });
});

describe("sharing", () => {
  test("users of one channel share one server subscription, which ends with the last", async () => {
    const it = client();
    const [a, b] = [it.subscribe("room:1"), it.subscribe("room:1")];
    await pass(10);
    expect(edge.socket.of("subscribe")).toHaveLength(1);
    a.unsubscribe();
    expect(edge.socket.of("unsubscribe")).toHaveLength(0);
    b.unsubscribe();
    expect(edge.socket.of("unsubscribe")).toMatchObject([{ channels: ["room:1"] }]);
  });

  test("who comes later is given the current values of a latest channel", async () => {
    const value = message("prices:X", undefined, 1, { key: "X" });
    edge.serve(() => ({ class: "latest", recovered: false, messages: [value] }));
    const it = client();
    it.subscribe("prices:X");
    await pass(10);
    const seen: unknown[] = [];
    it.subscribe("prices:X").on("message", ({ data, recovered }) => seen.push([data, recovered]));
    await pass(0);
    expect(seen).toEqual([[1, true]]);
  });

  test("the wider of their options goes to the server, and each sees its own part", async () => {
    const it = client();
    const seen: string[] = [];
    it.subscribe("prices:X", { keys: ["A"], params: { depth: 5 }, maxRate: 1 }).on("message", ({ key }) =>
      seen.push(`1${key}`),
    );
    await pass(10);
    it.subscribe("prices:X", { keys: ["B"], params: { depth: 20 }, maxRate: 5 }).on("message", ({ key }) =>
      seen.push(`2${key}`),
    );
    await pass(10);
    expect(edge.socket.of("subscribe").at(-1)?.channels).toMatchObject([
      { keys: ["A", "B"], params: { depth: 20 }, maxRate: 5 },
    ]);
    edge.socket.push(message("prices:X", undefined, 1, { key: "A" }), message("prices:X", undefined, 1, { key: "B" }));
    expect(seen).toEqual(["1A", "2B"]);
  });

  test("a view of a book gives way to the whole book, which begins where its reader says", async () => {
    const it = client();
    const channel = "book:okx:BTC/USDT";
    const [seen, whole]: [unknown[], unknown[]] = [[], []];
    edge.serve((_, since) =>
      since === undefined
        ? { class: "volatile", position: undefined, messages: [message(channel, undefined, "view")] }
        : { position: "5-1", recovered: false, messages: [message(channel, "5-1", "snapshot")] },
    );
    it.subscribe<string, unknown>(channel, { params: { depth: 10 } }).on("message", ({ data }) => seen.push(data));
    await pass(10);
    it.subscribe<string, unknown>(channel, { since: "0-0" }).on("message", ({ data }) => whole.push(data));
    await pass(10);
    expect(edge.socket.of("subscribe").map(({ channels }) => channels[0])).toEqual([
      { channel, params: { depth: 10 } },
      { channel, since: "0-0" },
    ]);
    expect(seen).toEqual(["view", "snapshot"]);
    expect(whole).toEqual(["snapshot"]);
  });

  test("two filters exclude each other", () => {
    const it = client();
    it.subscribe("room:1", { filter: "a > 1" });
    expect(() => it.subscribe("room:1", { filter: "a > 2" })).toThrowError(expect.objectContaining({ code: "conflict" }));
  });
});

describe("refusals", () => {
  test("what cannot be mended ends the subscription; what passes is asked again after the time given", async () => {
    const it = client();
    await pass(10);
    edge.answer = (socket, command) => {
      if (command.type === "connect")
        socket.push({
          id: command.id,
          type: "connected",
          connectionId: "c",
          userId: "7",
          node: "a",
          time: 1,
          heartbeatInterval: 25_000,
        });
      if (command.type !== "subscribe") return;
      const [entry] = command.channels as { channel: string }[];
      const refusal =
        entry?.channel === "user:8"
          ? { code: "forbidden", retryable: false }
          : { code: "unavailable", retryable: true, retryAfterMs: 700 };
      socket.push({ id: command.id, type: "error", message: "no", channel: entry?.channel, ...refusal });
    };
    const forbidden = it.subscribe("user:8");
    const errors: unknown[] = [];
    forbidden.on("error", (error) => errors.push(error));
    const busy = it.subscribe("room:1");
    it.connect();
    await pass(20);
    // Both went in one request: the answer of each is its own.
    expect(edge.socket.of("subscribe").length).toBeGreaterThan(0);
    expect(busy.status).toBe("pending");
    await pass(700);
    expect(errors.every((error) => error instanceof TickwireError)).toBe(true);
  });

  test("a grant that ends under a live subscription ends it", async () => {
    const it = client();
    const subscription = it.subscribe("session:1");
    await pass(10);
    edge.socket.push({ type: "unsubscribed", channel: "session:1" });
    expect(subscription.status).toBe("ended");
    expect(subscription.error).toMatchObject({ code: "forbidden", channel: "session:1" });
    await breakLink();
    expect(edge.socket.of("subscribe")).toHaveLength(0);
  });
});

describe("calls", () => {
  test("a publish is repeated under one key on the next link, and answered once", async () => {
    const it = client();
    it.connect();
    await pass(10);
    const answered = it.publish("room:1", { n: 1 });
    const [first] = edge.socket.of("publish");
    const answer = edge.answer;
    edge.answer = (socket, command) => {
      answer(socket, command);
      if (command.type === "publish")
        socket.push({ id: command.id, type: "published", channel: command.channel, position: "1-1", duplicate: true });
    };
    await breakLink();
    await expect(answered).resolves.toMatchObject({ position: "1-1", duplicate: true });
    expect(edge.socket.of("publish")).toEqual([first]);
    expect(first?.idempotencyKey).toBeTruthy();
  });

  test("offline, a bounded number waits for a bounded time", async () => {
    edge.opening = () => {};
    const it = client({ queueMax: 2, offlineTimeout: 5_000 });
    const calls = [1, 2, 3].map((n) => it.publish("room:1", n).catch((error: TickwireError) => error.code));
    await expect(calls[2]).resolves.toBe("queue_full");
    await pass(5_100);
    await expect(Promise.all(calls)).resolves.toEqual(["timeout", "timeout", "queue_full"]);
  });

  test("what the server refuses fails with its code", async () => {
    const it = client();
    it.connect();
    await pass(10);
    const history = it.history("room:1", { since: "1-1" });
    const [{ id } = { id: 0 }] = edge.socket.of("history");
    edge.socket.push({ id, type: "error", code: "unrecoverable_position", message: "m", channel: "room:1", retryable: false });
    await expect(history).rejects.toMatchObject({ code: "unrecoverable_position", retryable: false });
  });

  test("destroy answers everything that waits", async () => {
    const it = client();
    it.connect();
    await pass(10);
    const call = it.presence("room:1");
    it.destroy();
    await expect(call).rejects.toMatchObject({ code: "disconnected" });
    await expect(it.presence("room:1")).rejects.toMatchObject({ code: "disconnected" });
  });
});

describe("consumers", () => {
  test("what a listener throws is reported and disturbs no other", async () => {
    const onListenerError = vi.fn();
    const it = client({ onListenerError });
    const subscription = it.subscribe("room:1");
    const seen: unknown[] = [];
    subscription.on("message", () => {
      throw new Error("of the app");
    });
    subscription.on("message", ({ data }) => seen.push(data));
    await pass(10);
    edge.socket.push(message("room:1", "1-1", 1), message("room:1", "1-2", 2));
    expect(seen).toEqual([1, 2]);
    expect(onListenerError).toHaveBeenCalledTimes(2);
  });

  test("a loop gets every message, then the reason of the end", async () => {
    const it = client();
    const subscription = it.subscribe("room:1");
    const seen: unknown[] = [];
    const loop = (async () => {
      for await (const { data } of subscription) seen.push(data);
    })();
    const failed = expect(loop).rejects.toMatchObject({ code: "forbidden" });
    await pass(10);
    edge.socket.push(message("room:1", "1-1", 1), message("room:1", "1-2", 2));
    edge.socket.push({ type: "unsubscribed", channel: "room:1" });
    await failed;
    expect(seen).toEqual([1, 2]);
  });

  test("a loop that is too slow gets what was kept, then the reason, and the subscription goes on", async () => {
    const it = client();
    const subscription = it.subscribe("room:1");
    await pass(10);
    const loop = subscription[Symbol.asyncIterator]();
    const first = loop.next();
    const count = 10_002;
    for (let n = 1; n <= count; n += 1) edge.socket.push(message("room:1", `1-${n}`, n));
    const seen = [(await first).value?.data];
    const rest = (async () => {
      for await (const { data } of loop) seen.push(data);
    })();
    await expect(rest).rejects.toMatchObject({ code: "overflow", channel: "room:1" });
    expect(seen).toEqual(Array.from({ length: 10_000 }, (_, n) => n + 1));
    expect(subscription.status).toBe("live");
  });

  test("a listener may subscribe, unsubscribe and destroy while it is called", async () => {
    const it = client();
    const subscription = it.subscribe("room:1");
    subscription.on("message", () => {
      subscription.unsubscribe();
      it.subscribe("room:2");
      it.destroy();
    });
    await pass(10);
    edge.socket.push(message("room:1", "1-1", 1), message("room:1", "1-2", 2));
    expect(it.state.status).toBe("disconnected");
  });
});

describe("pollFallback", () => {
  test("the app's own polling stands in, and hands over without a double", async () => {
    const it = client();
    const seen: unknown[] = [];
    const polled = vi.fn(async () => [
      { position: "1-2", data: 2 },
      { position: "1-3", data: 3 },
    ]);
    const subscription = it.subscribe("room:1", { pollFallback: { poll: polled, after: 1_000, interval: 1_000 } });
    subscription.on("message", ({ data }) => seen.push(data));
    await pass(10);
    edge.socket.push(message("room:1", "1-1", 1), message("room:1", "1-2", 2));
    edge.opening = () => {};
    edge.socket.end(1006);
    await pass(2_500);
    expect(polled).toHaveBeenCalledWith("1-2", expect.anything());
    expect(seen).toEqual([1, 2, 3]);
    edge.serve();
    await pass(15_000);
    expect(subscription.status).toBe("live");
    expect(edge.socket.of("subscribe")[0]?.channels).toMatchObject([{ since: "1-3" }]);
    polled.mockClear();
    await pass(10_000);
    expect(polled).not.toHaveBeenCalled();
    edge.socket.push(message("room:1", "1-4", 4));
    expect(seen).toEqual([1, 2, 3, 4]);
  });
});
