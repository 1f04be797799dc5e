import type { BookLevel } from "@tickwire/client";
import { type OrderBookState, useOrderBook } from "@tickwire/client/react";
import { useRef } from "react";

/** Levels a side that the page asks for: one view serves the ladder and the depth chart. */
const LEVELS = 50;

/** What is on screen: the book, or, while it is not live, its last levels and since when they are old. */
export interface ShownBook {
  readonly bids: readonly BookLevel[];
  readonly asks: readonly BookLevel[];
  /** When they were published, milliseconds. */
  readonly at: number | undefined;
}

const NOTHING: ShownBook = { bids: [], asks: [], at: undefined };

/** An instrument's book, and what of it may be shown. */
export function useBook(exchange: string | undefined, symbol: string): { book: OrderBookState; shown: ShownBook } {
  const book = useOrderBook(exchange && symbol, { exchange, depth: LEVELS });
  const last = useRef(NOTHING);
  if (book.isLive) last.current = { bids: book.bids, asks: book.asks, at: book.newest?.publishedAt };
  return { book, shown: last.current };
}
