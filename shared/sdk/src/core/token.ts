import type { ConnectedFrame } from "../wire.gen.js";
import { NEVER } from "./effect.js";

/** Refused tokens in a row before the client stops. */
const REFUSALS_MAX = 3;
/** A token is replaced this long before its end, or in the last quarter of a shorter life. */
const REFRESH_BEFORE_MS = 30_000;
/** However short its life: a token that is always the same one makes no storm. */
const REFRESH_MIN_MS = 1_000;

/** The token in use, and when to get another: one request at a time, and never again and again with bad ones. */
export class TokenPlan {
  value: string | undefined;
  /** When to replace the token of the live link. */
  refreshAt = NEVER;
  readonly #renews: boolean;
  #isAsked = false;
  #refusals = 0;
  /** The server's clock less ours. */
  #clock: number | undefined;

  constructor(token: string | undefined, renews: boolean) {
    this.value = token;
    this.#renews = renews;
  }

  /** One must be had before anything else. */
  get isMissing(): boolean {
    return this.value === undefined && this.#renews;
  }

  /** Whether to ask for one now: not while a question is open. */
  ask(): boolean {
    const isFirst = this.#renews && !this.#isAsked;
    if (isFirst) this.#isAsked = true;
    return isFirst;
  }

  /** The server says that it is no good: the next attempt needs another. */
  spoil(): void {
    if (this.#renews) this.value = undefined;
  }

  take(token: string | undefined): void {
    this.#isAsked = false;
    if (token !== undefined) this.value = token;
  }

  /** It was refused. False if there is no sense in going on. */
  refuse(): boolean {
    this.#refusals += 1;
    if (!this.#renews || this.#refusals >= REFUSALS_MAX) return false;
    this.spoil();
    return true;
  }

  /** The app begins anew. */
  forgive(): void {
    if (this.#refusals > 0) this.spoil();
    this.#refusals = 0;
  }

  accepted(now: number, { time, expiresAt }: ConnectedFrame): void {
    this.#refusals = 0;
    this.#clock = time - now;
    this.plan(now, expiresAt);
  }

  /** Plans the refresh of a token that ends at `expiresAt` by the server's clock. */
  plan(now: number, expiresAt: number | undefined): void {
    this.refreshAt = NEVER;
    if (expiresAt === undefined || this.#clock === undefined || !this.#renews) return;
    const left = Math.max(0, expiresAt - (now + this.#clock));
    this.refreshAt = now + Math.max(REFRESH_MIN_MS, left - Math.min(REFRESH_BEFORE_MS, left / 4));
  }
}
