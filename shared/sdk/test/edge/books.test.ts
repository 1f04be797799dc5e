import { type BookUpdate, OrderBook, type Subscription } from "@tickwire/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cluster, until } from "./cluster.js";

const CHANNEL = "book:okx:BTC/USDT";

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start();
});

afterAll(() => cluster?.stop());

type Levels = [price: string, quantity: string][];

const publish = (kind: BookUpdate["kind"], bids: Levels, asks: Levels = []) =>
  cluster.publish(CHANNEL, { type: "book", kind, state: "live", bids, asks });

function follow(subscription: Subscription<BookUpdate>): OrderBook {
  const book = new OrderBook();
  subscription.on("subscribed", ({ recovered }) => recovered || book.lose());
  subscription.on("gap", () => book.lose());
  subscription.on("message", ({ data }) => book.apply(data));
  return book;
}

const prices = (book: OrderBook) => book.bids().map(([price]) => price);

test("a view has the best levels of the whole book, from its first moment and after each change", async () => {
  const bids: Levels = Array.from({ length: 30 }, (_, n) => [`${100 - n}.5`, "1"]);
  await publish("snapshot", bids, [["101", "2"]]);
  const client = cluster.client();
  const view = follow(client.subscribe(CHANNEL, { params: { depth: 5 } }));
  await until("the view has its snapshot", () => view.isLive);
  expect(prices(view)).toEqual(["100.5", "99.5", "98.5", "97.5", "96.5"]);
  await publish("delta", [["100.5", "0"]]);
  await until("the level behind came up", () => prices(view).at(-1) === "95.5");
  expect(prices(view)).toEqual(["99.5", "98.5", "97.5", "96.5", "95.5"]);
  expect(view.asks()).toEqual([["101", "2"]]);
  // Digits that no double tells apart.
  await publish("delta", [["99.50000000000000001", "3"]]);
  await until("it stands first", () => prices(view)[0] === "99.50000000000000001");
  expect(prices(view)).toEqual(["99.50000000000000001", "99.5", "98.5", "97.5", "96.5"]);
});

test("the whole book is there at once, from the snapshot in its history", async () => {
  await publish("snapshot", [
    ["9", "1"],
    ["8", "1"],
  ]);
  await publish("delta", [["8", "0"]]);
  const book = follow(cluster.client().subscribe(CHANNEL, { since: "0-0" }));
  await until("it is live", () => book.isLive && book.bids().length === 1);
  await publish("delta", [["7", "2"]]);
  await until("it follows", () => book.bids().length === 2);
  expect(book.bids()).toEqual([
    ["9", "1"],
    ["7", "2"],
  ]);
});

test("a depth that no view has is refused", async () => {
  const subscription = cluster.client().subscribe(CHANNEL, { params: { depth: 7 } });
  await until("it ended", () => subscription.status === "ended");
  expect(subscription.error?.code).toBe("bad_request");
});
