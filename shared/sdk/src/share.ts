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
  if (a.keys && b.keys) wide.keys = [...new Set([...a.keys, ...b.keys])].sort();
  else delete wide.keys;
  if (a.maxRate !== undefined && b.maxRate !== undefined) wide.maxRate = Math.max(a.maxRate, b.maxRate);
  else delete wide.maxRate;
  if (a.delta || b.delta) wide.delta = true;
  if (a.trace || b.trace) wide.trace = true;
  if (a.params || b.params) wide.params = joinParams(a.params ?? {}, b.params ?? {});
  return wide;
}

/** The deeper view of a book serves both. */
function joinParams(a: Record<string, unknown>, b: Record<string, unknown>): Record<string, unknown> {
  const joined = { ...a, ...b };
  if (typeof a.depth === "number" && typeof b.depth === "number") joined.depth = Math.max(a.depth, b.depth);
  return joined;
}

/** Whether the server has to be asked anew. */
export function isSame(a: Wanted, b: Wanted): boolean {
  const text = (wanted: Wanted) => JSON.stringify(Object.entries(wanted).sort(([left], [right]) => (left < right ? -1 : 1)));
  return text(a) === text(b);
}
