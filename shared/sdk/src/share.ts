import type { Wanted } from "./core/effect.js";
import { TickwireError } from "./errors.js";
import type { Subscription } from "./subscription.js";

/** The users of one channel behind its one server subscription. */
export interface Shared {
  readonly users: Set<Subscription<never>>;
  wanted: Wanted;
}

/** The options that serve both: the wider of each. Two filters cannot be joined, for messages do not carry what they look at. */
export function widen(channel: string, a: Wanted, b: Wanted): Wanted {
  if (a.filter !== b.filter) {
    throw new TickwireError("conflict", `${channel} is subscribed already with another filter`, { channel });
  }
  const wide: Wanted = { ...a, ...b };
  if (a.keys && b.keys) wide.keys = [...new Set([...a.keys, ...b.keys])];
  else delete wide.keys;
  if (a.maxRate && b.maxRate) wide.maxRate = Math.max(a.maxRate, b.maxRate);
  else delete wide.maxRate;
  if (wide.params) {
    // The deeper view of a book serves both; beside one who reads the whole book there is no view.
    const { depth: left, ...others } = a.params ?? {};
    const { depth: right, ...more } = b.params ?? {};
    const depth = typeof left === "number" && typeof right === "number" && { depth: Math.max(left, right) };
    wide.params = { ...others, ...more, ...depth };
    if (Object.keys(wide.params).length === 0) delete wide.params;
  }
  return wide;
}

/** Whether the server has to be asked anew; `wide` was widened from `wanted`, so their fields stand in one order. */
export function isSame(wide: Wanted, wanted: Wanted): boolean {
  return JSON.stringify(wide) === JSON.stringify(wanted);
}
