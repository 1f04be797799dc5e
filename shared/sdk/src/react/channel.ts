import { useEffect, useRef } from "react";
import { Emitter, reportUncaught } from "../emitter.js";
import type {
  DataOf,
  Message,
  SubscribeOptions,
  SubscriptionEvents,
  SubscriptionStatus,
  Tickwire,
  TickwireError,
} from "../index.js";
import { sharedOf, useTickwire } from "./provider.js";
import { createStore, type Store } from "./store.js";
import { useStore, whole } from "./use-store.js";

/** A channel as its components see it. */
export interface ChannelState<T = unknown> {
  readonly status: SubscriptionStatus;
  /** Why the subscription ended, or is not served for now. */
  readonly error: TickwireError | undefined;
  /** The newest messages, oldest first. */
  readonly messages: readonly Message<T>[];
  /** The newest message of each key of a `latest` channel; of others, the newest under "". */
  readonly latest: ReadonlyMap<string, Message<T>>;
}

/** What the hooks of a channel take. */
export interface ChannelOptions<T = unknown> extends SubscribeOptions {
  /** Sees every message, also those that come between two renders. */
  onMessage?: (message: Message<T>) => void;
  /** Messages are lost for this client: fetch a snapshot. */
  onGap?: (gap: SubscriptionEvents["gap"]) => void;
  /** Messages kept in `messages`. Default 100. */
  limit?: number;
}

/** Keys of a channel that are kept for its components. */
const KEYS_MAX = 10_000;
const PENDING: ChannelState<never> = { status: "pending", error: undefined, messages: [], latest: new Map() };

type FeedEvents = Pick<SubscriptionEvents, "message" | "gap">;

interface Feed {
  readonly store: Store<ChannelState>;
  /** To the mounted components. */
  readonly events: Emitter<FeedEvents>;
}

function makeFeed(client: Tickwire, channel: string, options: SubscribeOptions, limit: number, forget: () => void): Feed {
  const events = new Emitter<FeedEvents>(reportUncaught);
  const start = (changed: () => void) => {
    const subscription = client.subscribe<string, unknown>(channel, options);
    const kept: Message[] = [];
    const latest = new Map<string, Message>();
    subscription.on("message", (message) => {
      if (kept.push(message) > 2 * limit) kept.splice(0, kept.length - limit);
      latest.set(message.key ?? "", message);
      if (latest.size > KEYS_MAX) latest.delete(latest.keys().next().value as string);
      changed();
      events.emit("message", message);
    });
    subscription.on("gap", (gap) => events.emit("gap", gap));
    subscription.on("status", changed);
    subscription.on("delayed", changed);
    const read = (): ChannelState => {
      const { status, error } = subscription;
      return { status, error, messages: limit > 0 ? kept.slice(-limit) : [], latest: new Map(latest) };
    };
    return { read, stop: () => subscription.unsubscribe() };
  };
  return { store: createStore<ChannelState>(PENDING, start, forget), events };
}

function useFeed<T, R>(channel: string | null | undefined, options: ChannelOptions<T>, select: (state: ChannelState) => R): R {
  const client = useTickwire();
  const { onMessage, onGap, limit = 100, pollFallback, ...wanted } = options;
  // Functions have no text: one poll fallback of a channel is as good as another.
  const name = channel && `${channel} ${limit} ${!!pollFallback} ${JSON.stringify(wanted)}`;
  const make = (forget: () => void) => makeFeed(client, channel as string, { ...wanted, pollFallback }, limit, forget);
  const feed = name ? sharedOf(client, name, make) : undefined;
  const listeners = { message: onMessage as ((message: Message) => void) | undefined, gap: onGap };
  const latest = useRef(listeners);
  useEffect(() => {
    latest.current = listeners;
  });
  useEffect(() => {
    const off = feed?.events.on("message", (message) => latest.current.message?.(message));
    const offGap = feed?.events.on("gap", (gap) => latest.current.gap?.(gap));
    return () => {
      off?.();
      offGap?.();
    };
  }, [feed]);
  return useStore(feed?.store, PENDING as ChannelState, select);
}

/** Subscribes to a channel while mounted: how it stands, and its newest messages. `null` subscribes to nothing. */
export function useChannel<C extends string, T = DataOf<C>>(
  channel: C | null | undefined,
  options: ChannelOptions<T> = {},
): ChannelState<T> {
  return useFeed(channel, options, whole) as ChannelState<T>;
}

/** The newest message of a channel, or of a key of it; renders again only when that changes. */
export function useLatest<C extends string, T = DataOf<C>>(
  channel: C | null | undefined,
  { key, ...options }: SubscribeOptions & { key?: string } = {},
): Message<T> | undefined {
  const select = ({ latest }: ChannelState) => (key === undefined ? newest(latest) : latest.get(key));
  return useFeed(channel, { ...options, limit: 0 }, select) as Message<T> | undefined;
}

function newest(latest: ReadonlyMap<string, Message>): Message | undefined {
  let found: Message | undefined;
  for (const message of latest.values()) if (!found || message.time >= found.time) found = message;
  return found;
}
