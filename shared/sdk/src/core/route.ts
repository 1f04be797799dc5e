/** Attempts that must fail before the next transport is tried; more once this one has worked. */
const FAILURES = 2;
const FAILURES_OF_PROVEN = 5;
/** A better transport is tried again after this, doubled up to the second value. */
const CLIMB_MS = 30_000;
const CLIMB_MS_MAX = 300_000;

/** Which address and which transport the next attempt takes: the first transport that works, and back up when it can. */
export class Route {
  url = 0;
  transport = 0;
  #failures = 0;
  #climbs = 0;
  readonly #urls: number;
  readonly #transports: number;
  readonly #proven = new Set<number>();

  constructor(urls: number, transports: number) {
    this.#urls = urls;
    this.#transports = transports;
  }

  nextUrl(): void {
    this.url = (this.url + 1) % this.#urls;
  }

  /** A link stands. */
  worked(): void {
    this.#failures = 0;
    this.#proven.add(this.transport);
    if (this.transport === 0) this.#climbs = 0;
  }

  /** An attempt did not lead to a link: falls back when that happens again and again. */
  failed(): void {
    this.#failures += 1;
    const enough = this.#proven.has(this.transport) ? FAILURES_OF_PROVEN : FAILURES;
    if (this.#failures < Math.max(enough, this.#urls)) return;
    this.#failures = 0;
    this.transport = (this.transport + 1) % this.#transports;
  }

  /** When to try the best transport again, from now; `undefined` if it is in use. */
  climbIn(): number | undefined {
    if (this.transport === 0) return undefined;
    this.#climbs += 1;
    return Math.min(CLIMB_MS * 2 ** (this.#climbs - 1), CLIMB_MS_MAX);
  }
}
