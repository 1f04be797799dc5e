import { comparePositions, type Message, type TickwireError } from "@tickwire/client";
import { useTickwire } from "@tickwire/client/react";
import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { signal } from "./signals";

/** A channel with its past: what is stored, then everything live, each message once and in order. */
export interface Log<T> {
  /** Oldest first. */
  readonly messages: readonly Message<T>[];
  readonly isLoading: boolean;
  /** The server serves it now. */
  readonly isLive: boolean;
  /** Why it is not served. */
  readonly error: TickwireError | undefined;
}

/** Channels that are read here, and how many of them the server serves at the moment. */
export const served = signal({ live: 0, all: 0 });

const change = (live: number, all: number) => {
  const now = served.get();
  served.set({ live: now.live + live, all: now.all + all });
};

/** Counts one channel; the first answer takes its status, the second one ends it. */
function counted(): { is(status: string): void; end(): void } {
  let [isLive, isCounted] = [false, true];
  change(0, 1);
  const turn = (live: boolean, counts: boolean) => {
    change(Number(live) - Number(isLive), Number(counts) - Number(isCounted));
    [isLive, isCounted] = [live, counts];
  };
  return {
    // One that is refused is not waited for.
    is: (status) => turn(status === "live", isCounted && status !== "ended"),
    end: () => turn(false, false),
  };
}

/** Messages kept of one channel. */
const LIMIT = 1_000;
const EMPTY: Log<never> = { messages: [], isLoading: true, isLive: false, error: undefined };

type Client = ReturnType<typeof useTickwire>;

export interface LogStore {
  get(): Log<unknown>;
  subscribe(changed: () => void): () => void;
  start(): () => void;
}

/** The newest messages, and before them the newest of each key that has none among those. */
export function cut<T>(messages: readonly Message<T>[], keyOf: ((data: T) => string) | undefined): Message<T>[] {
  const tail = messages.slice(-LIMIT);
  if (!keyOf) return tail;
  const known = new Set(tail.map(({ data }) => keyOf(data)));
  const older: Message<T>[] = [];
  for (const message of messages.slice(0, -LIMIT).reverse()) {
    const key = keyOf(message.data);
    if (older.length < LIMIT && !known.has(key)) {
      known.add(key);
      older.push(message);
    }
  }
  return [...older.reverse(), ...tail];
}

/** A log outside of React: `start` begins it, and answers with its end. */
export function logStore(client: Client, channel: string, keyOf: ((data: unknown) => string) | undefined): LogStore {
  let state: Log<unknown> = EMPTY;
  let kept: Message<unknown>[] = [];
  let frame = 0;
  const readers = new Set<() => void>();
  const publish = (change: Partial<Log<unknown>> = {}) => {
    state = { ...state, ...change };
    if (frame) return;
    // Hidden tabs draw no frames; a timer there is enough.
    const later =
      document.visibilityState === "visible"
        ? requestAnimationFrame
        : (run: () => void) => setTimeout(run, 250) as unknown as number;
    frame = later(() => {
      frame = 0;
      state = { ...state, messages: kept.slice() };
      for (const reader of [...readers]) reader();
    });
  };
  const isAfter = (a: Message<unknown>, b: Message<unknown>) =>
    a.position && b.position ? comparePositions(a.position, b.position) > 0 : a.time >= b.time;
  const take = (message: Message<unknown>) => {
    const last = kept[kept.length - 1];
    if (!last || isAfter(message, last)) kept.push(message);
    else if (!kept.some((it) => it.position === message.position)) {
      const at = kept.findIndex((it) => isAfter(it, message));
      kept.splice(at < 0 ? kept.length : at, 0, message);
    }
    if (kept.length > LIMIT + 200) kept = cut(kept, keyOf);
    publish();
  };
  const start = () => {
    let isOver = false;
    const subscription = client.subscribe<string, unknown>(channel);
    const own = counted();
    const load = async () => {
      try {
        const { messages } = await client.history(channel, { reverse: true, limit: LIMIT });
        if (isOver) return;
        for (const { type: _, ...message } of messages.reverse()) take({ ...message, recovered: true });
        publish({ isLoading: false });
      } catch {
        if (!isOver) publish({ isLoading: false });
      }
    };
    subscription.on("subscribed", ({ first }) => {
      // Without a position it was said by the node that served the last connection, and holds for that one only.
      kept = kept.filter(({ position }) => position !== undefined);
      if (first) void load();
    });
    subscription.on("gap", () => {
      kept = [];
      void load();
    });
    subscription.on("message", take);
    subscription.on("status", (status) => {
      own.is(status);
      publish({ isLive: status === "live" });
    });
    subscription.on("error", (error) => publish({ error, isLoading: false }));
    return () => {
      isOver = true;
      own.end();
      subscription.unsubscribe();
    };
  };
  return {
    get: () => state,
    subscribe(changed) {
      readers.add(changed);
      return () => void readers.delete(changed);
    },
    start,
  };
}

/** The log of a reliable channel, while mounted. `keyOf` is read once. */
export function useLog<T>(channel: string, keyOf?: (data: T) => string): Log<T> {
  const client = useTickwire();
  const key = useRef(keyOf);
  const store = useMemo(
    () => logStore(client, channel, key.current as ((data: unknown) => string) | undefined),
    [client, channel],
  );
  useEffect(() => store.start(), [store]);
  return useSyncExternalStore(store.subscribe, store.get) as Log<T>;
}

/** The logs of several channels, while mounted; the channels may change. */
export function useLogs<T>(channels: readonly string[]): readonly Log<T>[] {
  const client = useTickwire();
  const names = channels.join(" ");
  const group = useMemo(() => groupOf(names.split(" ").map((name) => logStore(client, name, undefined))), [client, names]);
  useEffect(() => group.start(), [group]);
  return useSyncExternalStore(group.subscribe, group.get) as readonly Log<T>[];
}

function groupOf(stores: readonly LogStore[]) {
  let last: readonly Log<unknown>[] = stores.map((store) => store.get());
  const get = () => {
    const now = stores.map((store) => store.get());
    if (now.some((log, index) => log !== last[index])) last = now;
    return last;
  };
  const each = (of: (store: LogStore) => () => void) => {
    const ends = stores.map(of);
    return () => {
      for (const end of ends) end();
    };
  };
  return {
    get,
    subscribe: (changed: () => void) => each((it) => it.subscribe(changed)),
    start: () => each((it) => it.start()),
  };
}
