import { expect, test } from "vitest";
import { Route } from "../../src/core/route.js";

/** The addresses of the next `count` attempts. */
function attempts(route: Route, count: number): string[] {
  return Array.from({ length: count }, () => {
    route.nextUrl();
    return route.url;
  });
}

test("the cluster's addresses come before the app's own and keep its path", () => {
  const route = new Route(["wss://door/ws/trading?v=1"], 1);
  route.learn(["wss://a", "wss://b:444/", "wss://c/other"], () => 0);
  expect(route.url, "the one in use stays").toBe("wss://door/ws/trading?v=1");
  expect(attempts(route, 5)).toEqual([
    "wss://a/ws/trading?v=1",
    "wss://b:444/ws/trading?v=1",
    "wss://c/other",
    "wss://door/ws/trading?v=1",
    "wss://a/ws/trading?v=1",
  ]);
});

test("no address of the server takes a token out of TLS, and what is no address is left out", () => {
  const route = new Route(["wss://door/ws"], 1);
  route.learn(["ws://a", "http://b", "wss://", "junk", ""], () => 0);
  expect(attempts(route, 2)).toEqual(["wss://door/ws", "wss://door/ws"]);
});

test("clients who came through one door leave through many, and try it again after a few", () => {
  const nodes = Array.from({ length: 200 }, (_, n) => `ws://edge-${n}`);
  const first = new Set<string>();
  for (let client = 0; client < 200; client += 1) {
    const route = new Route(["ws://door/ws"], 1);
    route.learn(nodes, Math.random);
    const [next, , , fourth] = attempts(route, 4);
    first.add(next as string);
    expect(fourth).toBe("ws://door/ws");
  }
  expect(first.size).toBeGreaterThan(30);
});

test("a long list of edges does not put off the next transport", () => {
  const route = new Route(["ws://door/ws"], 2);
  route.learn(
    Array.from({ length: 60 }, (_, n) => `ws://edge-${n}`),
    () => 0,
  );
  for (const _ of [1, 2]) route.failed();
  expect(route.transport).toBe(1);
});
