import type { BookUpdate } from "./book.js";
import type { EventOf } from "./wire.gen.js";

/**
 * Payloads of the app's own channels by the form of their names, added by declaration merging:
 *
 * ```ts
 * declare module "@tickwire/client" {
 *   interface ChannelTypes { [room: `room:${string}`]: { text: string } }
 * }
 * ```
 */
// biome-ignore lint/suspicious/noEmptyInterface: apps fill it.
export interface ChannelTypes {}

/** What messages of a channel of this name carry; `unknown` where nothing says it. */
export type DataOf<C extends string> = C extends keyof ChannelTypes
  ? ChannelTypes[C]
  : C extends `book:${string}`
    ? BookUpdate
    : EventOf<C>;
