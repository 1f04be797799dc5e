import { NEVER } from "./effect.js";

/** Attempts that must fail before the next transport is tried; more once this one has worked. */
const FAILURES = 2;
const FAILURES_OF_PROVEN = 5;
/** A better transport is tried again after this, doubled up to the second value. */
const CLIMB_MS = 30_000;
const CLIMB_MS_MAX = 300_000;

/** Of the addresses that the cluster names, so many are tried before the app's own: they may be out of this client's reach. */
const NAMED_TRIED = 3;
const NAMED_MAX = 64;

/** Which address and which transport the next attempt takes: the first transport that works, and back up when it can. */
export class Route {
  url: string;
  transport = 0;
  #failures = 0;
  #climbs = 0;
  /** The app's own addresses. */
  readonly #given: readonly string[];
  #urls: readonly string[];
  readonly #transports: number;
  readonly #proven = new Set<number>();

  /** `urls`: absolute, at least one. */
  constructor(urls: readonly string[], transports: number) {
    this.#given = urls;
    this.#urls = urls;
    this.url = urls[0] as string;
    this.#transports = transports;
  }

  nextUrl(): void {
    this.url = this.#urls[(this.#urls.indexOf(this.url) + 1) % this.#urls.length] as string;
  }

  /**
   * The cluster names its edges: the next attempts go to some of them, in an order of this client's own, so that clients who
   * came through one door leave through many. One without a path gets the app's; a plain one is left out where the app asked
   * for TLS, because its token must not go out in clear for a server's word.
   */
  learn(named: readonly string[], roll: () => number): void {
    const [first] = this.#given as [string];
    const own = new URL(first);
    const known = named.slice(0, NAMED_MAX).flatMap((text) => {
      if (!URL.canParse(text)) return [];
      const url = new URL(text);
      if (url.pathname === "/") Object.assign(url, { pathname: own.pathname, search: own.search });
      const isSafe = url.protocol === "wss:" || (url.protocol === "ws:" && own.protocol === "ws:");
      return isSafe ? [{ href: url.href, at: roll() }] : [];
    });
    const some = known.sort((a, b) => a.at - b.at).slice(0, NAMED_TRIED);
    this.#urls = [...new Set([...some.map(({ href }) => href), ...this.#given])];
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
    if (this.#failures < Math.max(enough, this.#given.length)) return;
    this.#failures = 0;
    this.transport = (this.transport + 1) % this.#transports;
  }

  /** When to try the best transport again, from now; never while it is in use. */
  climbIn(): number {
    if (this.transport === 0) return NEVER;
    this.#climbs += 1;
    return Math.min(CLIMB_MS * 2 ** (this.#climbs - 1), CLIMB_MS_MAX);
  }
}
