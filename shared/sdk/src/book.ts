/** A price and the quantity there, both decimals as text. */
export type BookLevel = readonly [price: string, quantity: string];

/** What a message of `book:{exchange}:{symbol}` carries. */
export interface BookUpdate {
  readonly type: "book";
  /** A snapshot replaces everything, a delta sets absolute quantities (zero deletes), a state changes the state alone. */
  readonly kind: "snapshot" | "delta" | "state";
  /** `live`, `suspect`, or another that is not live. */
  readonly state: string;
  readonly reason?: string;
  readonly exchange?: string;
  readonly symbol?: string;
  /** Levels a side, where this is a view. */
  readonly depth?: number;
  readonly bids?: readonly BookLevel[];
  readonly asks?: readonly BookLevel[];
  readonly sequence?: number;
  readonly venueTime?: number;
  readonly receivedAt?: number;
  readonly publishedAt?: number;
  /** It comes from a recording. */
  readonly replayed?: boolean;
}

/** Levels a side at most. */
const LEVELS_MAX = 10_000;
/** The depths that edges have views of. */
const DEPTHS = [1, 5, 10, 20, 50, 100] as const;

/** The smallest view that shows `depth` levels; `undefined`: only the whole book does. */
export function viewDepth(depth: number): number | undefined {
  return DEPTHS.find((levels) => levels >= depth);
}

/** A book put together from its messages. Its levels may be acted on only while `isLive`. */
export class OrderBook {
  #bids = new Map<string, BookLevel>();
  #asks = new Map<string, BookLevel>();
  #isWhole = false;
  #newest: BookUpdate | undefined;

  /** Whether the levels are what the venue has, as far as the cluster knows. */
  get isLive(): boolean {
    return this.#isWhole && this.#newest?.state === "live";
  }

  /** The newest message: times, state and its reason. */
  get newest(): BookUpdate | undefined {
    return this.#newest;
  }

  /** Takes the next message. Deltas before the first snapshot, and after `lose`, are skipped. */
  apply(update: BookUpdate): void {
    this.#newest = update;
    if (update.kind === "snapshot") {
      this.lose();
      this.#isWhole = true;
    }
    if (update.state !== "live") return this.lose();
    if (!this.#isWhole || update.kind === "state") return;
    set(this.#bids, update.bids);
    set(this.#asks, update.asks);
    if (Math.max(this.#bids.size, this.#asks.size) > LEVELS_MAX) this.lose();
  }

  /** Something is missing: nothing is believed until the next snapshot. */
  lose(): void {
    this.#isWhole = false;
    this.#bids.clear();
    this.#asks.clear();
  }

  /** Highest first. */
  bids(depth = LEVELS_MAX): BookLevel[] {
    return [...this.#bids.values()].sort(([a], [b]) => Number(b) - Number(a)).slice(0, depth);
  }

  /** Lowest first. */
  asks(depth = LEVELS_MAX): BookLevel[] {
    return [...this.#asks.values()].sort(([a], [b]) => Number(a) - Number(b)).slice(0, depth);
  }
}

function set(side: Map<string, BookLevel>, levels: readonly BookLevel[] = []): void {
  for (const level of levels) {
    // Equal numbers are one level, however many zeros they have.
    const price = level[0].includes(".") ? level[0].replace(/\.?0+$/, "") : level[0];
    if (Number(level[1]) === 0) side.delete(price);
    else side.set(price, level);
  }
}
