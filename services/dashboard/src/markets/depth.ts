import type { BookLevel } from "@tickwire/client";
import { number } from "../lib/format";

/** One corner of a side's steps: a price, and all that is there or better. */
export interface Corner {
  readonly price: number;
  readonly total: number;
}

/** How much is bid and asked around the middle of a book. */
export interface Depth {
  readonly bids: readonly Corner[];
  readonly asks: readonly Corner[];
  readonly middle: number;
  /** How far the shown prices reach to either side: as far as the shallower side knows. */
  readonly reach: number;
  /** The greater of what is bid and asked within that. */
  readonly most: number;
}

function corners(levels: readonly BookLevel[]): Corner[] {
  let total = 0;
  return levels.flatMap(([price, quantity]) => {
    const [at, more] = [number(price), number(quantity)];
    if (at === undefined || more === undefined) return [];
    total += more;
    return [{ price: at, total }];
  });
}

/** Adds up a book's levels, best first; `undefined` where one side is empty. */
export function depthOf(bidLevels: readonly BookLevel[], askLevels: readonly BookLevel[]): Depth | undefined {
  const [bids, asks] = [corners(bidLevels), corners(askLevels)];
  const [bid, ask, lowest, highest] = [bids[0], asks[0], bids.at(-1), asks.at(-1)];
  if (!bid || !ask || !lowest || !highest) return undefined;
  const middle = (bid.price + ask.price) / 2;
  const reach = Math.min(middle - lowest.price, highest.price - middle);
  const within = ({ price }: Corner) => Math.abs(price - middle) <= reach * (1 + 1e-9);
  const [near, far] = [bids.filter(within), asks.filter(within)];
  return { bids: near, asks: far, middle, reach, most: Math.max(near.at(-1)?.total ?? 0, far.at(-1)?.total ?? 0) };
}

/** A side as an SVG path in a square of 100 with the middle at 50; `side` is -1 for bids, 1 for asks. */
export function pathOf(steps: readonly Corner[], side: -1 | 1, { middle, reach, most }: Depth): string {
  const x = (price: number) => (50 + ((price - middle) / (reach || 1)) * 50).toFixed(2);
  const y = (total: number) => (100 - (total / (most || 1)) * 94).toFixed(2);
  const first = steps[0];
  if (!first) return "";
  let path = `M${x(first.price)} 100`;
  for (const [index, { price, total }] of steps.entries()) {
    if (index > 0) path += `H${x(price)}`;
    path += `V${y(total)}`;
  }
  return `${path}H${50 + side * 50}V100Z`;
}
