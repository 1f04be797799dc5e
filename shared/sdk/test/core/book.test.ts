import { readFileSync } from "node:fs";
import { type BookLevel, type BookUpdate, compareDecimals, OrderBook } from "@tickwire/client";
import { expect, test } from "vitest";

interface BookCase {
  name: string;
  depth: number;
  messages: BookUpdate[];
  malformed?: boolean;
  live: boolean;
  bids: BookLevel[];
  asks: BookLevel[];
}

const vectors = new URL("../../../protocol/vectors/books.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(vectors, "utf8")) as { cases: BookCase[] };

/** Equal numbers are equal levels: which text of a price is kept is not said. */
const numbers = (levels: readonly BookLevel[]) => levels.map((pair) => pair.map((text) => text.replace(/\.?0+$/, "")));

test.each(cases)("$name", ({ messages, depth, malformed, live, bids, asks }) => {
  const book = new OrderBook();
  const fold = () => messages.forEach((update) => void book.apply(update));
  if (malformed) expect(fold).toThrow(TypeError);
  else fold();
  expect(book.isLive).toBe(live ?? false);
  expect(numbers(book.bids(depth))).toEqual(numbers(bids ?? []));
  expect(numbers(book.asks(depth))).toEqual(numbers(asks ?? []));
});

test("prices stand by their digits, also beyond what a double holds", () => {
  const ascending = [
    "-10.5",
    "-10",
    "-9.99",
    "0",
    "0.1",
    "0.12",
    "9",
    "10",
    "9007199254740992",
    "9007199254740993",
    "1".padEnd(40, "0"),
  ];
  for (const [i, a] of ascending.entries()) {
    for (const [j, b] of ascending.entries()) expect(Math.sign(compareDecimals(a, b)), `${a} ${b}`).toBe(Math.sign(i - j));
  }
  expect(compareDecimals("9.10", "09.1")).toBe(0);
  expect(compareDecimals("-0", "0.00")).toBe(0);
  for (const none of ["", ".", "1e3", "NaN", " 1", "1,5"]) expect(compareDecimals(none, "1")).toBeNaN();
  const book = new OrderBook();
  const prices = ["0.30000000000000000001", "0.3", "0.30000000000000000002"];
  const levels = prices.map((price) => [price, "1"] as const);
  book.apply({ type: "book", kind: "snapshot", state: "live", bids: levels, asks: levels });
  expect(book.asks().map(([price]) => price)).toEqual(["0.3", "0.30000000000000000001", "0.30000000000000000002"]);
  expect(book.bids(1)).toEqual([["0.30000000000000000002", "1"]]);
});

test("a quantity deletes a level only if it is zero to the last digit", () => {
  const book = new OrderBook();
  const bids = [["1", `0.${"0".repeat(400)}1`]] as const;
  book.apply({ type: "book", kind: "snapshot", state: "live", bids });
  expect(book.bids()).toEqual(bids);
  book.apply({ type: "book", kind: "delta", state: "live", bids: [["1.0", "0.000"]] });
  expect(book.bids()).toEqual([]);
});

test.each([
  ["a quantity below zero", [["1", "-1"]]],
  ["a word", [["one", "1"]]],
  ["half a level", [["1"]]],
  ["what is no level", [1]],
])("%s is refused, and the book is not live until the next snapshot", (_, levels) => {
  const book = new OrderBook();
  book.apply({ type: "book", kind: "snapshot", state: "live", bids: [["1", "1"]] });
  const bids = levels as unknown as BookLevel[];
  expect(() => book.apply({ type: "book", kind: "delta", state: "live", bids })).toThrow(TypeError);
  expect(book.isLive).toBe(false);
  expect(book.bids()).toEqual([]);
  book.apply({ type: "book", kind: "delta", state: "live", bids: [["2", "1"]] });
  expect(book.bids()).toEqual([]);
  book.apply({ type: "book", kind: "snapshot", state: "live", bids: [["2", "1"]] });
  expect(book.isLive).toBe(true);
});

test("a book without end is not believed", () => {
  const book = new OrderBook();
  const bids = Array.from({ length: 10_001 }, (_, n) => [String(n + 1), "1"] as const);
  book.apply({ type: "book", kind: "snapshot", state: "live", bids });
  expect(book.isLive).toBe(false);
  expect(book.bids()).toEqual([]);
});
