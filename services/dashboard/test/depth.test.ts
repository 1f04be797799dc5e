import { expect, test } from "vitest";
import { depthOf, pathOf } from "../src/markets/depth";
import { running } from "../src/markets/order-book";

test("depth adds up from the middle outwards, as far as the shallower side reaches", () => {
  const depth = depthOf(
    [
      ["99", "1"],
      ["98", "2"],
      ["90", "50"],
    ],
    [
      ["101", "4"],
      ["102", "1"],
    ],
  );
  expect(depth).toEqual({
    bids: [
      { price: 99, total: 1 },
      { price: 98, total: 3 },
    ],
    asks: [
      { price: 101, total: 4 },
      { price: 102, total: 5 },
    ],
    middle: 100,
    reach: 2,
    most: 5,
  });
  expect(depth && pathOf(depth.asks, 1, depth)).toBe("M75.00 100V24.80H100.00V6.00H100V100Z");
  expect(depth && pathOf(depth.bids, -1, depth)).toBe("M25.00 100V81.20H0.00V43.60H0V100Z");
});

test("a book without one side has no depth, and one level a side has some", () => {
  expect(depthOf([], [["1", "1"]])).toBeUndefined();
  expect(depthOf([["1", "1"]], [["3", "2"]])).toMatchObject({ middle: 2, reach: 1, most: 2 });
});

test("a ladder's totals grow exactly from the best price", () => {
  expect(
    running([
      ["100", "0.1"],
      ["99", "0.2"],
      ["98", "1"],
    ]),
  ).toEqual(["0.1", "0.3", "1.3"]);
});
