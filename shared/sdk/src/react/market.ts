import type { MarketDataData, Message, Tickwire } from "../index.js";
import { useSource } from "./provider.js";
import type { Source } from "./store.js";
import { whole } from "./use-store.js";

/** Prices of several symbols. */
export interface MarketState {
  /** The newest message by symbol; `time` says how old it is. */
  readonly prices: Readonly<Record<string, Message<MarketDataData>>>;
  /** No price of any of them has come yet. */
  readonly isLoading: boolean;
}

const LOADING: MarketState = { prices: {}, isLoading: true };

function follow(client: Tickwire, symbols: readonly string[], changed: () => void): Source<MarketState> {
  const prices: Record<string, Message<MarketDataData>> = {};
  const subscriptions = symbols.map((symbol) => {
    const subscription = client.subscribe<string, MarketDataData>(`prices:${symbol}`);
    subscription.on("message", (message) => {
      prices[symbol] = message;
      changed();
    });
    return subscription;
  });
  const read = () => {
    const all = { ...prices };
    return { prices: all, isLoading: symbols.length > 0 && Object.keys(all).length === 0 };
  };
  return { read, stop: () => subscriptions.forEach((subscription) => void subscription.unsubscribe()) };
}

/**
 * The newest price of each symbol, at most one render a frame; with `select` only when that part changes. A row of a long
 * table is better off with `useLatest("prices:…")`, which renders that row alone.
 */
export function useRealTimeMarketData(symbols: readonly string[]): MarketState;
export function useRealTimeMarketData<R>(symbols: readonly string[], select: (state: MarketState) => R): R;
export function useRealTimeMarketData(symbols: readonly string[], select: (state: MarketState) => unknown = whole): unknown {
  const sorted = [...new Set(symbols)].sort();
  const start = (client: Tickwire, changed: () => void) => follow(client, sorted, changed);
  return useSource(`market ${sorted.join()}`, LOADING, start, select);
}
