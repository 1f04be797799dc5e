import { type BookLevel, type BookUpdate, OrderBook, type SubscribeOptions, type Tickwire, viewDepth } from "../index.js";
import { useSource } from "./provider.js";
import type { Source } from "./store.js";

/** A book as a component sees it. */
export interface OrderBookState {
  /** Highest first; empty while the book is not live. */
  readonly bids: readonly BookLevel[];
  /** Lowest first; empty while the book is not live. */
  readonly asks: readonly BookLevel[];
  /** Only then may the levels be shown as what the venue has. */
  readonly isLive: boolean;
  /** `loading`, `live`, `suspect`, `offline`, or what else the feed says. */
  readonly state: string;
  /** Why it is not live, where that is known. */
  readonly reason: string | undefined;
  /** The newest message without its meaning for the levels: times, sequence, whether it is replayed. */
  readonly newest: BookUpdate | undefined;
}

/** Of {@link useOrderBook}. */
export interface OrderBookOptions {
  /** Levels a side. Default 10; more than 100 takes the whole book. */
  depth?: number;
  /** The venue, where `symbol` does not name it as in `binance:BTC/USDT`. */
  exchange?: string;
}

const LOADING: OrderBookState = { bids: [], asks: [], isLive: false, state: "loading", reason: undefined, newest: undefined };

function follow(client: Tickwire, channel: string, depth: number, changed: () => void): Source<OrderBookState> {
  const book = new OrderBook();
  const view = viewDepth(depth);
  // A view begins with a snapshot; the whole book's is in its history, which a position that nobody knows brings.
  const options: SubscribeOptions = view === undefined ? { since: "0-0" } : { params: { depth: view } };
  const subscription = client.subscribe<string, BookUpdate>(channel, options);
  const lose = () => {
    book.lose();
    changed();
  };
  subscription.on("message", ({ data }) => {
    changed();
    book.apply(data);
  });
  subscription.on("subscribed", ({ recovered }) => {
    if (!recovered) lose();
  });
  subscription.on("gap", lose);
  subscription.on("dropped", lose);
  subscription.on("status", changed);
  subscription.on("delayed", changed);
  const read = (): OrderBookState => {
    const { newest } = book;
    // While nothing comes nobody says that it is old.
    const isServed = subscription.status === "live";
    const isLive = isServed && book.isLive;
    const told = isLive ? "live" : newest && newest.state !== "live" ? newest.state : "loading";
    const state = isServed || !newest ? told : "offline";
    return {
      bids: isLive ? book.bids(depth) : [],
      asks: isLive ? book.asks(depth) : [],
      isLive,
      state,
      reason: subscription.error?.code ?? newest?.reason,
      newest,
    };
  };
  return { read, stop: () => subscription.unsubscribe() };
}

/** The best levels of an order book, and whether they can be believed. */
export function useOrderBook(
  symbol: string | null | undefined,
  { depth = 10, exchange }: OrderBookOptions = {},
): OrderBookState {
  const channel = `book:${exchange === undefined ? "" : `${exchange}:`}${symbol}`;
  return useSource(symbol && `${channel} ${depth}`, LOADING, (client, changed) => follow(client, channel, depth, changed));
}
