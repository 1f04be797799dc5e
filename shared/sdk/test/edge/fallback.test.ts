import { type Dial, longPolling, serverSentEvents, type Transport, webSocket } from "@tickwire/client";
import { msgpack } from "@tickwire/client/msgpack";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { Cluster, token, until } from "./cluster.js";

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start();
});

afterAll(() => cluster?.stop());

/** A network that lets no WebSocket through, until it does. */
class Network {
  isOpen = false;
  readonly WebSocket: Dial["WebSocket"];

  constructor() {
    const network = this;
    this.WebSocket = class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(network.isOpen ? url : "ws://127.0.0.1:1/ws", protocols);
      }
    } as unknown as Dial["WebSocket"];
  }
}

describe.each([
  ["sse", serverSentEvents],
  ["polling", longPolling],
] as [string, Transport][])("over %s", (name, fallback) => {
  test("the app sees one stream while transports change below it", async () => {
    const network = new Network();
    const client = cluster.client({ transports: [webSocket, fallback], WebSocket: network.WebSocket });
    const channel = `session:${name}`;
    await cluster.publish(channel, 0);
    const got: number[] = [];
    const gaps: unknown[] = [];
    const subscription = client.subscribe<string, number>(channel);
    subscription.on("message", ({ data }) => got.push(data));
    subscription.on("gap", (gap) => gaps.push(gap));
    await until("it is live", () => subscription.status === "live");
    expect(client.state).toMatchObject({ transport: name, userId: "7" });
    for (let n = 1; n <= 20; n += 1) await cluster.publish(channel, n);
    await until("they came", () => got.length === 20);
    // Another channel beside it: a new request goes on where the old one stood.
    const other = client.subscribe<string, number>(`${channel}:2`);
    const there: number[] = [];
    other.on("message", ({ data }) => there.push(data));
    for (let n = 21; n <= 40; n += 1) await cluster.publish(channel, n);
    await until("the other one is live", () => other.status === "live");
    await cluster.publish(`${channel}:2`, 1);
    await until("both came", () => got.length === 40 && there.length === 1);
    // Up again, while messages flow.
    network.isOpen = true;
    client.disconnect();
    client.connect();
    for (let n = 41; n <= 60; n += 1) await cluster.publish(channel, n);
    await until("they came, too", () => got.length >= 60);
    expect(got).toEqual(Array.from({ length: 60 }, (_, n) => n + 1));
    expect(gaps).toEqual([]);
  });

  test("latest values come with the subscription, keys are chosen, and a channel without a grant is refused", async () => {
    const client = cluster.client({ transports: [fallback] });
    const price = (key: string, value: string) => cluster.publish(`prices:${name}`, { price: value }, { key });
    await price("A", "1");
    await price("B", "1");
    const seen: string[] = [];
    client
      .subscribe<string, { price: string }>(`prices:${name}`, { keys: ["B"] })
      .on("message", ({ key, data }) => seen.push(`${key} ${data.price}`));
    await until("the state came", () => seen.length === 1);
    await price("A", "2");
    await price("B", "2");
    await until("the change came", () => seen.length === 2);
    expect(seen).toEqual(["B 1", "B 2"]);
    const refused = client.subscribe("user:8");
    await until("it is refused", () => refused.status === "ended");
    expect(refused.error?.code).toBe("forbidden");
    await price("B", "3");
    await until("the others go on", () => seen.length === 3);
  });

  test("what only a WebSocket carries is refused at once, by its own code", async () => {
    const client = cluster.client({ transports: [fallback] });
    const channel = `session:${name}:calls`;
    const subscription = client.subscribe(channel);
    await until("it is live", () => subscription.status === "live");
    const calls = [
      client.publish("room:1", 1),
      client.history(channel),
      client.presence(channel),
      client.ack("user:7", "1-1"),
      client.preferences(),
    ];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: "unsupported", retryable: true });
    expect(await client.ping()).toBeGreaterThan(0);
    const delayed: unknown[] = [];
    const view = client.subscribe("book:okx:ETH/USDT", { params: { depth: 5 } });
    view.on("delayed", ({ code, channel, retryAfterMs }) => delayed.push([code, channel, retryAfterMs]));
    await until("the view waits", () => delayed.length === 1);
    expect(delayed).toEqual([["unsupported", "book:okx:ETH/USDT", 30_000]]);
    expect(view).toMatchObject({ status: "pending", error: { code: "unsupported" } });
    expect(subscription.status, "the others go on").toBe("live");
  });

  test("a bad token ends it after three", async () => {
    let asked = 0;
    const getToken = () => {
      asked += 1;
      return token("7", -10);
    };
    const client = cluster.client({ transports: [fallback], getToken });
    client.connect();
    await until("it is over", () => client.state.status === "error");
    expect(client.state.reason).toBe("unauthenticated");
    expect(asked).toBe(3);
  });
});

test("a token is replaced before its end without a break, and what is left is not heard any more", async () => {
  const over = async (fallback: Transport) => {
    let asked = 0;
    const getToken = () => {
      asked += 1;
      return token("7", 4);
    };
    const client = cluster.client({ transports: [fallback], getToken });
    const channel = `session:${fallback.name}:refresh`;
    const got: number[] = [];
    const left: number[] = [];
    const subscription = client.subscribe<string, number>(channel);
    subscription.on("message", ({ data }) => got.push(data));
    const other = client.subscribe<string, number>(`${channel}:left`);
    other.on("message", ({ data }) => left.push(data));
    await until("both are live", () => subscription.status === "live" && other.status === "live");
    const states: string[] = [];
    client.on("state", ({ status }) => states.push(status));
    other.unsubscribe();
    const end = Date.now() + 6_000;
    let sent = 0;
    while (Date.now() < end) {
      sent += 1;
      await Promise.all([cluster.publish(channel, sent), cluster.publish(`${channel}:left`, sent)]);
      await new Promise((resume) => setTimeout(resume, 50));
    }
    await until("all came", () => got.at(-1) === sent);
    expect(got).toEqual(Array.from({ length: sent }, (_, n) => n + 1));
    expect(asked, "the first one has ended").toBeGreaterThan(1);
    expect(states, "the app notices nothing").toEqual([]);
    expect(left).toEqual([]);
  };
  await Promise.all([over(serverSentEvents), over(longPolling)]);
});

test("who joins and leaves is told over SSE", async () => {
  const client = cluster.client({ transports: [serverSentEvents] });
  const told: string[] = [];
  const subscription = client.subscribe("room:presence");
  subscription.on("presence", ({ event, userId }) => told.push(`${event} ${userId}`));
  await until("it is live", () => subscription.status === "live");
  const other = cluster.client({ getToken: () => token("8") });
  other.subscribe("room:presence");
  await until("the other one came", () => told.includes("join 8"));
  other.disconnect();
  await until("the other one left", () => told.includes("leave 8"));
});

test("a client on a fallback goes up by itself, and the app notices nothing", async () => {
  const network = new Network();
  // The first look up comes after 30 s: the clock of this test is that of the core alone.
  const client = cluster.client({ transports: [webSocket, serverSentEvents], WebSocket: network.WebSocket });
  const channel = "session:climb";
  const got: number[] = [];
  const states: string[] = [];
  const subscription = client.subscribe<string, number>(channel);
  subscription.on("message", ({ data }) => got.push(data));
  await until("it is live", () => subscription.status === "live");
  client.on("state", ({ status }) => states.push(status));
  network.isOpen = true;
  let sent = 0;
  await until(
    "it is on a WebSocket",
    async () => {
      sent += 1;
      await cluster.publish(channel, sent);
      return client.state.transport === "websocket";
    },
    45_000,
  );
  await until("all came", () => got.at(-1) === sent);
  expect(got).toEqual(Array.from({ length: sent }, (_, n) => n + 1));
  expect(new Set(states)).toEqual(new Set(["connected"]));
});

test("MessagePack carries what JSON carries", async () => {
  const client = cluster.client({ codec: msgpack });
  const channel = "room:msgpack";
  const got: unknown[] = [];
  const subscription = client.subscribe(channel);
  subscription.on("message", ({ data }) => got.push(data));
  await until("it is live", () => subscription.status === "live");
  const data = { text: "grüße 😀", n: [1, -1, 300, 70_000, 2 ** 40, -(2 ** 40), 0.5], none: null, yes: true, deep: [[{}]] };
  const answer = await client.publish(channel, data);
  expect(answer).toMatchObject({ type: "published", channel, duplicate: false });
  await until("it came", () => got.length === 1);
  expect(got).toEqual([data]);
  const { messages } = await client.history(channel, { limit: 1 });
  expect(messages.map((message) => message.data)).toEqual([data]);
});
