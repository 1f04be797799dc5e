import { useSyncExternalStore } from "react";

/** A value outside of React that components follow. */
export interface Signal<T> {
  get(): T;
  set(value: T): void;
  subscribe(changed: () => void): () => void;
}

/** Makes one. */
export function signal<T>(initial: T): Signal<T> {
  let value = initial;
  const readers = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const reader of [...readers]) reader();
    },
    subscribe(changed) {
      readers.add(changed);
      return () => void readers.delete(changed);
    },
  };
}

/** Its value, followed. */
export function useSignal<T>(of: Signal<T>): T {
  return useSyncExternalStore(of.subscribe, of.get);
}

/** Reads and writes browser storage, which may be switched off or hold anything. */
export const storage = {
  read(name: string, where: "local" | "session" = "local"): string | null {
    try {
      return (where === "local" ? localStorage : sessionStorage).getItem(`tickwire.${name}`);
    } catch {
      return null;
    }
  },
  write(name: string, value: string | null, where: "local" | "session" = "local"): void {
    try {
      const store = where === "local" ? localStorage : sessionStorage;
      if (value === null) store.removeItem(`tickwire.${name}`);
      else store.setItem(`tickwire.${name}`, value);
    } catch {
      // Then the choice lasts as long as the page.
    }
  },
};

/** Text kept in local storage that holds a JSON list of strings, or `initial`. */
export function storedList(name: string, initial: readonly string[]): Signal<readonly string[]> {
  let start = initial;
  try {
    const kept: unknown = JSON.parse(storage.read(name) ?? "null");
    if (Array.isArray(kept)) start = kept.filter((item) => typeof item === "string").slice(0, 500);
  } catch {
    // Not ours.
  }
  const inner = signal(start);
  return {
    ...inner,
    set(value) {
      storage.write(name, JSON.stringify(value));
      inner.set(value);
    },
  };
}
