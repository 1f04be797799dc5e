import type { MarketDataData, Message, Tickwire } from "../index.js";
import { sharedOf, useTickwire } from "./provider.js";
import { createStore, type Store } from "./store.js";
import { useStore, whole } from "./use-store.js";

/** Prices of several symbols. */
export interface MarketState {
  /** The newest message by symbol; `time` says how old it is. */
  readonly prices: Readonly<Record<string, Message<MarketDataData>>>;
  /** No price of any of them has come yet. */
  readonly isLoading: boolean;
}

const LOADING: MarketState = { prices: {}, isLoading: true };

function marketStore(client: Tickwire, symbols: readonly string[], forget: () => void): Store<MarketState> {
  const start = (changed: () => void) => {
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
  };
  return createStore(LOADING, start, forget);
}

/**
 * The newest price of each symbol, at most one render a frame; with `select` only when that part changes. A row of a long
 * table is better off with `useLatest("prices:…")`, which renders that row alone.
 */
export function useRealTimeMarketData(symbols: readonly string[]): MarketState;
export function useRealTimeMarketData<R>(symbols: readonly string[], select: (state: MarketState) => R): R;
export function useRealTimeMarketData(symbols: readonly string[], select: (state: MarketState) => unknown = whole): unknown {
  const client = useTickwire();
  const sorted = [...new Set(symbols)].sort();
  const store = sharedOf(client, `market ${sorted.join()}`, (forget) => marketStore(client, sorted, forget));
  return useStore(store, LOADING, select);
}
