import { nextFrame } from "./frame.js";

/** What a hook reads: a state that changes, at most once a frame, while someone looks. */
export interface Store<S> {
  /** Calls `changed` after each published change, until the function returned is called. */
  subscribe(changed: () => void): () => void;
  /** The published state; the same value until the next change is published. */
  get(): S;
}

/** What fills a store while it has readers. */
export interface Source<S> {
  /** The state as it is now; asked for once a frame, however much happened in it. */
  read(): S;
  stop(): void;
}

/**
 * A store that works while it has readers. It stops one task after the last left, so that a StrictMode remount finds it
 * running, and tells `idle`.
 */
export function createStore<S>(initial: S, start: (changed: () => void) => Source<S>, idle?: () => void): Store<S> {
  let published = initial;
  let source: Source<S> | undefined;
  const readers = new Set<() => void>();
  const publish = () => {
    const state = source ? source.read() : initial;
    if (Object.is(state, published)) return;
    published = state;
    for (const changed of [...readers]) changed();
  };
  const settle = () => {
    if (readers.size > 0 || !source) return;
    source.stop();
    source = undefined;
    published = initial;
    idle?.();
  };
  return {
    get: () => published,
    subscribe(changed) {
      // A reader of its own, also where one function is passed twice.
      const reader = () => changed();
      readers.add(reader);
      if (!source) {
        source = start(() => nextFrame(publish));
        nextFrame(publish);
      }
      return () => {
        readers.delete(reader);
        setTimeout(settle);
      };
    },
  };
}
