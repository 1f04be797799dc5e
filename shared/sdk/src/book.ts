import { canonical, order } from "./decimal.js";

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

/** One side of a book, best first. */
class Side {
  readonly #rows: { readonly price: string; readonly level: BookLevel }[] = [];
  /** 1 where the lowest price is the best, -1 where the highest is. */
  readonly #direction: 1 | -1;

  constructor(direction: 1 | -1) {
    this.#direction = direction;
  }

  get size(): number {
    return this.#rows.length;
  }

  /** Sets absolute quantities; zero deletes. Throws on what is no pair of decimals as text. */
  set(levels: readonly BookLevel[] = []): void {
    for (const level of levels) {
      const [price, quantity] = [canonical(level[0]), canonical(level[1])];
      if (price === undefined || quantity === undefined || quantity[0] === "-") {
        throw new TypeError("a level of a book is a price and a quantity, both decimals as text");
      }
      const [at, isThere] = this.#find(price);
      if (quantity !== "0") this.#rows.splice(at, isThere ? 1 : 0, { price, level });
      else if (isThere) this.#rows.splice(at, 1);
    }
  }

  best(depth: number): BookLevel[] {
    return this.#rows.slice(0, depth).map(({ level }) => level);
  }

  clear(): void {
    this.#rows.length = 0;
  }

  /** Where a price stands or belongs, and whether it is there. Equal numbers are one price, however many zeros they have. */
  #find(price: string): [at: number, isThere: boolean] {
    let [low, high] = [0, this.#rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const ahead = order((this.#rows[middle] as { price: string }).price, price) * this.#direction;
      if (ahead === 0) return [middle, true];
      if (ahead < 0) low = middle + 1;
      else high = middle;
    }
    return [low, false];
  }
}

/** A book put together from its messages. Its levels may be acted on only while `isLive`. */
export class OrderBook {
  readonly #bids = new Side(-1);
  readonly #asks = new Side(1);
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

  /**
   * Takes the next message. Deltas before the first snapshot, and after `lose`, are skipped; beyond 10,000 levels a side
   * nothing is believed.
   *
   * @throws {TypeError} if a level is no pair of decimals as text; nothing is believed until the next snapshot.
   */
  apply(update: BookUpdate): void {
    this.#newest = update;
    if (update.kind === "snapshot") {
      this.lose();
      this.#isWhole = true;
    }
    if (update.state !== "live") return this.lose();
    if (!this.#isWhole || update.kind === "state") return;
    try {
      this.#bids.set(update.bids);
      this.#asks.set(update.asks);
    } catch (error) {
      this.lose();
      throw error;
    }
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
    return this.#bids.best(depth);
  }

  /** Lowest first. */
  asks(depth = LEVELS_MAX): BookLevel[] {
    return this.#asks.best(depth);
  }
}
