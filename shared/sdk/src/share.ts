import type { Wanted } from "./core/effect.js";
import { TickwireError } from "./errors.js";

/** The options that serve both: the wider of each. Two filters cannot be joined, for messages do not carry what they look at. */
export function widen(channel: string, a: Wanted, b: Wanted): Wanted {
  if (a.filter !== b.filter) throw new TickwireError({ code: "conflict", message: "another filter", channel });
  const [left, right] = [a.params?.depth, b.params?.depth] as (number | undefined)[];
  // The deeper view of a book serves both; beside one who reads the whole book there is no view.
  const params = { ...a.params, ...b.params, depth: left && right && Math.max(left, right) };
  return {
    ...a,
    ...b,
    keys: a.keys && b.keys && [...new Set([...a.keys, ...b.keys])],
    maxRate: a.maxRate && b.maxRate && Math.max(a.maxRate, b.maxRate),
    params: JSON.stringify(params) === "{}" ? undefined : params,
  };
}

/** Whether the server has to be asked anew; `wide` was widened from `wanted`, so their fields stand in one order. */
export function isSame(wide: Wanted, wanted: Wanted): boolean {
  return JSON.stringify(wide) === JSON.stringify(wanted);
}
