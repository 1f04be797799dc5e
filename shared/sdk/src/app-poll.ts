import type { Report } from "./emitter.js";
import type { PollFallback } from "./subscription.js";
import type { MessageFrame, Position } from "./wire.gen.js";

/** Runs the app's own polling from `start` to `stop`; what a poll brings after `stop` is dropped. */
export class AppPoll {
  /** Where the subscription stands. */
  position: () => Position | undefined = () => undefined;
  /** Takes what came. */
  take: (messages: MessageFrame[]) => void = () => {};
  #round: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #fallback: PollFallback;
  readonly #channel: string;
  readonly #report: Report;

  constructor(fallback: PollFallback, channel: string, report: Report) {
    this.#fallback = fallback;
    this.#channel = channel;
    this.#report = report;
  }

  start(): void {
    if (this.#round) return;
    this.#round = new AbortController();
    this.#later(this.#fallback.after ?? 3_000, this.#round.signal);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#round?.abort();
    this.#round = undefined;
  }

  #later(delay: number, signal: AbortSignal): void {
    this.#timer = setTimeout(() => this.#poll(signal), delay);
  }

  async #poll(signal: AbortSignal): Promise<void> {
    try {
      const polled = await this.#fallback.poll(this.position(), signal);
      if (signal.aborted) return;
      const channel = this.#channel;
      this.take(polled.map((message) => ({ type: "message", channel, time: Date.now(), ...message })));
    } catch (error) {
      if (!signal.aborted) this.#report(error);
    }
    if (!signal.aborted) this.#later(this.#fallback.interval ?? 5_000, signal);
  }
}
