import type { Message, Tickwire } from "@tickwire/client";
import { useTickwire } from "@tickwire/client/react";
import { useEffect, useMemo, useSyncExternalStore } from "react";
import { number, sum } from "../lib/format";
import { worth } from "../session/model";

/** An instrument: `BTC/USDT` for its price among all exchanges, `binance:BTC/USDT` for that of one. */
export type Instrument = string;

/** What is known of an instrument's price. Decimals are the text that was sent. */
export interface Quote {
  readonly id: Instrument;
  readonly last?: string | undefined;
  readonly bid?: string | undefined;
  readonly ask?: string | undefined;
  readonly volume?: string | undefined;
  /** Of 24 hours, as a share. */
  readonly change?: number | undefined;
  /** When it was published, milliseconds. */
  readonly time: number;
  readonly replayed: boolean;
  /** Against the price before. */
  readonly moved: "up" | "down" | "flat";
}

/** The exchange and symbol of an instrument. */
export function parts(id: Instrument): { exchange: string | undefined; symbol: string } {
  const cut = id.indexOf(":");
  // `BTC/USDT:USDT` is a perpetual, no exchange.
  const isExchange = cut > 0 && !id.slice(0, cut).includes("/");
  return isExchange ? { exchange: id.slice(0, cut), symbol: id.slice(cut + 1) } : { exchange: undefined, symbol: id };
}

/** The channel of its price. */
export function channelOf(id: Instrument): string {
  const { exchange, symbol } = parts(id);
  return exchange ? `ticker:${exchange}:${symbol}` : `prices:${symbol}`;
}

interface TickerData {
  price?: string;
  last?: string;
  bid?: string;
  ask?: string;
  volume?: string;
  volume24h?: string;
  open24h?: string;
  change?: string;
  replayed?: boolean;
}

/** The quote after a message. */
export function quoteOf(
  id: Instrument,
  { data, time }: Pick<Message<unknown>, "data" | "time">,
  before: Quote | undefined,
): Quote {
  const it = (data ?? {}) as TickerData;
  const last = it.last ?? it.price ?? middle(it);
  const [now, open, was] = [number(last), number(it.open24h), number(before?.last)];
  const change = now !== undefined && open ? now / open - 1 : change24h(it.change, now);
  const moved = now === undefined || was === undefined || now === was ? (before?.moved ?? "flat") : now > was ? "up" : "down";
  return {
    id,
    last,
    bid: it.bid,
    ask: it.ask,
    volume: it.volume24h ?? it.volume,
    change,
    time,
    replayed: it.replayed === true,
    moved,
  };
}

/** Between bid and ask, where an exchange's stream names no last trade: what `prices:` says as well. */
function middle({ bid, ask }: TickerData): string | undefined {
  return bid !== undefined && ask !== undefined ? worth(sum([bid, ask]), "0.5") : undefined;
}

/** A change is told as a difference of prices. */
function change24h(change: string | undefined, now: number | undefined): number | undefined {
  const by = number(change);
  if (by === undefined || now === undefined || now === by) return undefined;
  return by / (now - by);
}

/** The quotes of a watch list; components follow one of them, or all at a calm pace. */
export interface Board {
  get(id: Instrument): Quote | undefined;
  follow(id: Instrument, changed: () => void): () => void;
  /** Every quote, as of the last calm moment: what a sorted list is made from. */
  all(): readonly Quote[];
  followAll(changed: () => void): () => void;
  watch(ids: readonly Instrument[]): void;
  stop(): void;
}

/** Sorting by prices moves rows; more often than this nobody can read them. */
const CALM_MS = 1_000;

export function makeBoard(client: Tickwire): Board {
  const quotes = new Map<Instrument, Quote>();
  const open = new Map<Instrument, { unsubscribe(): void }>();
  const readers = new Map<Instrument, Set<() => void>>();
  const calm = new Set<() => void>();
  const dirty = new Set<Instrument>();
  let frame = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let list: readonly Quote[] = [];
  const settle = () => {
    timer = undefined;
    list = [...open.keys()].map((id) => quotes.get(id) ?? { id, time: 0, replayed: false, moved: "flat" });
    for (const reader of [...calm]) reader();
  };
  const flush = () => {
    frame = 0;
    for (const id of dirty) for (const reader of readers.get(id) ?? []) reader();
    dirty.clear();
  };
  const mark = (id: Instrument) => {
    dirty.add(id);
    frame ||= requestAnimationFrame(flush);
    timer ??= setTimeout(settle, CALM_MS);
  };
  const start = (id: Instrument) => {
    const subscription = client.subscribe<string, unknown>(channelOf(id));
    subscription.on("message", (message) => {
      const isFirst = !quotes.has(id);
      quotes.set(id, quoteOf(id, message, quotes.get(id)));
      mark(id);
      if (isFirst) {
        clearTimeout(timer);
        timer = setTimeout(settle, 50);
      }
    });
    open.set(id, subscription);
  };
  return {
    get: (id) => quotes.get(id),
    follow(id, changed) {
      const of = readers.get(id) ?? new Set();
      readers.set(id, of.add(changed));
      return () => void of.delete(changed);
    },
    all: () => list,
    followAll(changed) {
      calm.add(changed);
      return () => void calm.delete(changed);
    },
    watch(ids) {
      for (const [id, subscription] of open) {
        if (ids.includes(id)) continue;
        subscription.unsubscribe();
        open.delete(id);
        quotes.delete(id);
      }
      for (const id of ids) if (!open.has(id)) start(id);
      settle();
    },
    stop() {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      timer = undefined;
      frame = 0;
      for (const subscription of open.values()) subscription.unsubscribe();
      open.clear();
    },
  };
}

/** A board of these instruments, while mounted. */
export function useBoard(ids: readonly Instrument[]): Board {
  const client = useTickwire();
  const board = useMemo(() => makeBoard(client), [client]);
  useEffect(() => {
    board.watch(ids);
  }, [board, ids]);
  // One task later, so that a StrictMode remount finds it as it was.
  useEffect(() => () => board.stop(), [board]);
  return board;
}

/** One quote, followed. */
export function useQuote(board: Board, id: Instrument): Quote | undefined {
  return useSyncExternalStore(
    (changed) => board.follow(id, changed),
    () => board.get(id),
  );
}

/** All quotes, at a calm pace. */
export function useQuotes(board: Board): readonly Quote[] {
  return useSyncExternalStore(board.followAll, board.all);
}
