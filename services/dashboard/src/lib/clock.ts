import { useSyncExternalStore } from "react";

/** One timer for all ages on screen. */
const STEP_MS = 500;
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const readers = new Set<() => void>();

function subscribe(changed: () => void): () => void {
  readers.add(changed);
  if (!timer) {
    now = Date.now();
    timer = setInterval(() => {
      now = Date.now();
      for (const reader of [...readers]) reader();
    }, STEP_MS);
  }
  return () => {
    readers.delete(changed);
    if (readers.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time in milliseconds, anew twice a second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** Whether something of `time` is older than `limit` milliseconds: renders again only when that turns. */
export function useIsOld(time: number | undefined, limit: number): boolean {
  return useSyncExternalStore(subscribe, () => time !== undefined && now - time > limit);
}
