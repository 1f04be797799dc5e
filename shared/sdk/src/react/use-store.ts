import { useRef, useSyncExternalStore } from "react";
import type { Store } from "./store.js";

const nothing = () => () => {};

/** A part of a store's state; the component renders again only when that part is another one. No store: the initial state. */
export function useStore<S, R = S>(
  store: Store<S> | undefined,
  initial: S,
  select: (state: S) => R = whole as (state: S) => never,
): R {
  const memo = useRef<{ state: S; select: unknown; part: R } | undefined>(undefined);
  const read = (state: S): R => {
    const last = memo.current;
    if (last && Object.is(last.state, state) && last.select === select) return last.part;
    const part = select(state);
    const kept = last && isSame(last.part, part) ? last.part : part;
    memo.current = { state, select, part: kept };
    return kept;
  };
  return useSyncExternalStore(
    store ? store.subscribe : nothing,
    () => read(store ? store.get() : initial),
    () => read(initial),
  );
}

/** Equal, or flat objects of equal fields: what a selector such as `({a, b}) => ({a, b})` makes anew each time. */
function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b) return false;
  const [left, right] = [Object.entries(a), Object.entries(b)];
  return left.length === right.length && left.every(([name, value]) => Object.is(value, (b as Record<string, unknown>)[name]));
}

/** Selects everything. */
export const whole = <S>(state: S): S => state;
