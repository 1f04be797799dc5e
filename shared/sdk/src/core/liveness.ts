/** An answer to a ping comes within this, or the link is dead. */
const PROBE_MS = 3_000;
/** A timer that fires this late slept: what it was to measure is measured again. */
const LATE_MS = 2_000;

/**
 * Whether a link still lives. An open socket is no proof: after a silence a ping is sent, and only an unanswered ping ends the
 * link, never a timer alone, for those of hidden tabs fire once a minute and those of sleeping machines hours late.
 */
export class Liveness {
  #heard: number;
  #probe: number | undefined;

  constructor(now: number) {
    this.#heard = now;
  }

  /** Anything came. */
  hear(now: number): void {
    this.#heard = now;
    this.#probe = undefined;
  }

  /** When to look again; `patience` is the silence after which to ask. */
  deadline(patience: number): number {
    return this.#probe ?? this.#heard + patience;
  }

  /** Something made the link doubtful: ask now. */
  doubt(now: number): "ask" | "fine" {
    if (this.#probe !== undefined) return "fine";
    this.#probe = now + PROBE_MS;
    return "ask";
  }

  /** What to do at `now`. */
  check(now: number, patience: number): "fine" | "ask" | "dead" {
    if (this.deadline(patience) > now) return "fine";
    if (this.#probe !== undefined && now - this.#probe < LATE_MS) return "dead";
    this.#probe = now + PROBE_MS;
    return "ask";
  }
}
