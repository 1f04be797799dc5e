import { Tickwire } from "@tickwire/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeEdge } from "../fake-edge.js";

const turn = () => new Promise((resume) => setTimeout(resume, 5));

let edge: FakeEdge;

beforeEach(() => {
  edge = new FakeEdge();
  edge.serve();
});

const kept: unknown[] = [];
afterEach(() => {
  kept.length = 0;
});

/** How many of `count` clients, used and given up by `end`, are still in memory. */
async function survivors(count: number, end: (client: Tickwire) => void): Promise<number> {
  const references: WeakRef<Tickwire>[] = [];
  for (let n = 0; n < count; n += 1) {
    const client = new Tickwire({ url: "ws://a/ws", token: "t", WebSocket: edge.WebSocket });
    references.push(new WeakRef(client));
    const subscription = client.subscribe(`room:${n}`, { pollFallback: { poll: async () => [] } });
    subscription.on("message", () => client.state);
    client.on("state", () => client.state);
    await turn();
    client.publish("room:1", n).catch(() => {});
    end(client);
  }
  edge.sockets.length = 0;
  for (let round = 0; round < 10; round += 1) {
    await turn();
    globalThis.gc?.();
  }
  return references.filter((reference) => reference.deref()).length;
}

test("a destroyed client leaves nothing behind", async () => {
  expect(globalThis.gc, "run with --expose-gc").toBeTypeOf("function");
  // The last one may still be on the stack.
  expect(await survivors(20, (client) => client.destroy())).toBeLessThanOrEqual(1);
});

test("this test can tell: a client that is not destroyed is found", async () => {
  const clients: Tickwire[] = [];
  expect(await survivors(5, (client) => clients.push(client))).toBe(5);
  for (const client of clients) client.destroy();
});

test("this test can tell: a client that something still holds is found", async () => {
  const holds = (client: Tickwire) => {
    client.destroy();
    kept.push(() => client);
  };
  expect(await survivors(5, holds)).toBe(5);
});
