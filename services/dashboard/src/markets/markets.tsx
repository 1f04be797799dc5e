import { useCallback, useEffect } from "react";
import { useSearchParams } from "react-router";
import { call } from "../lib/services";
import { storage, storedList, useSignal } from "../lib/signals";
import { DepthChart } from "./depth-chart";
import { OrderBook } from "./order-book";
import { PriceChart } from "./price-chart";
import { type Instrument, parts, useBoard } from "./quotes";
import { TradesTape } from "./trades";
import { WatchList } from "./watch-list";

const INITIAL: readonly Instrument[] = ["binance:BTC/USDT", "BTC/USDT", "ETH/USDT", "SOL/USDT"];
const WATCHED_MAX = 300;
const watched = storedList("watched", INITIAL);

/** What the feed says of its venues; its own names. */
interface Feeds {
  venues?: Record<string, { symbols?: Record<string, unknown> }>;
}

/** Without a watch list of the user's own, what the feeds publish is watched. */
function useFeedsOnce(): void {
  useEffect(() => {
    if (storage.read("watched")) return;
    call<Feeds>("feed", "/v1/feeds").then(
      ({ venues = {} }) => {
        const all = Object.entries(venues).flatMap(([venue, { symbols = {} }]) =>
          Object.keys(symbols).map((it) => `${venue}:${it}`),
        );
        if (all.length > 0 && !storage.read("watched")) watched.set([...all.slice(0, 40)]);
      },
      // No feed here: the initial list stays.
      () => {},
    );
  }, []);
}

/** What a channel's name may hold. */
const NAME = /^[\x21-\x7e]{1,100}$/;

/** Watch list, chart, book and trades. */
export default function Markets() {
  useFeedsOnce();
  const ids = useSignal(watched);
  const board = useBoard(ids);
  const [query, setQuery] = useSearchParams();
  const selected = query.get("i") ?? ids[0] ?? "BTC/USDT";
  const select = useCallback((id: string) => setQuery({ i: id }, { replace: true }), [setQuery]);
  const add = useCallback((id: string) => {
    const all = watched.get();
    if (!NAME.test(id) || !parts(id).symbol) return "An instrument is a word such as BTC/USDT, or exchange:symbol.";
    if (all.includes(id)) return "It is on the list already.";
    if (all.length >= WATCHED_MAX) return `A watch list holds ${WATCHED_MAX} instruments.`;
    watched.set([...all, id]);
    return undefined;
  }, []);
  const remove = useCallback((id: string) => watched.set(watched.get().filter((it) => it !== id)), []);
  const { exchange, symbol } = parts(selected);
  return (
    <div className="markets">
      <h1 className="sr-only">Markets</h1>
      <div className="markets-main">
        <PriceChart id={selected} key={`chart ${selected}`} />
        <WatchList board={board} selected={selected} onSelect={select} onAdd={add} onRemove={remove} />
        <DepthChart exchange={exchange} symbol={symbol} key={`depth ${selected}`} />
      </div>
      <div className="markets-side">
        <OrderBook exchange={exchange} symbol={symbol} key={`book ${selected}`} />
        <TradesTape exchange={exchange} symbol={symbol} key={`trades ${selected}`} />
      </div>
    </div>
  );
}
