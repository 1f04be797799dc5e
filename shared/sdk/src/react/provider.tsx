import { createContext, type ReactNode, useContext, useEffect } from "react";
import type { ConnectionState, Tickwire } from "../index.js";
import { createStore, type Source } from "./store.js";
import { useStore } from "./use-store.js";

const Context = createContext<Tickwire | undefined>(undefined);

/** Of {@link TickwireProvider}. */
export interface TickwireProviderProps {
  /** Made outside of React, such as at module level: a client does nothing before it is used. */
  client: Tickwire;
  children?: ReactNode;
}

/** Leaving a page and coming back in the same task, as StrictMode does, breaks nothing. */
const mounts = new WeakMap<Tickwire, number>();

/** How many there are after `change`. */
function mounted(client: Tickwire, change: number): number {
  const count = (mounts.get(client) ?? 0) + change;
  mounts.set(client, count);
  return count;
}

/** Gives the hooks below it their client: connects it on mount, and disconnects it one task after the last unmount. */
export function TickwireProvider({ client, children }: TickwireProviderProps): ReactNode {
  useEffect(() => {
    mounted(client, 1);
    client.connect();
    return () => {
      mounted(client, -1);
      setTimeout(() => {
        if (mounted(client, 0) === 0) client.disconnect();
      });
    };
  }, [client]);
  return <Context.Provider value={client}>{children}</Context.Provider>;
}

/** The client of the provider above. */
export function useTickwire(): Tickwire {
  const client = useContext(Context);
  if (!client) throw new Error("this hook needs a <TickwireProvider> above it");
  return client;
}

const OFFLINE: ConnectionState = { status: "disconnected", reason: "closed_here" };
const stores = new WeakMap<Tickwire, Map<string, unknown>>();

/** The one thing of a client under a name, made when it is asked for first; `make` gets a function that forgets it. */
export function sharedOf<T>(client: Tickwire, name: string, make: (forget: () => void) => T): T {
  const all = stores.get(client) ?? new Map<string, unknown>();
  stores.set(client, all);
  let it = all.get(name) as T | undefined;
  if (it === undefined) {
    it = make(() => all.delete(name));
    all.set(name, it);
  }
  return it;
}

/**
 * A part of the state that `start` keeps up while someone looks: one for all components that ask for the same `name`, none
 * without a name.
 */
export function useSource<S, R = S>(
  name: string | false | null | undefined,
  initial: S,
  start: (client: Tickwire, changed: () => void) => Source<S>,
  select?: (state: S) => R,
): R {
  const client = useTickwire();
  const make = (forget: () => void) => createStore(initial, (changed) => start(client, changed), forget);
  return useStore(name ? sharedOf(client, name, make) : undefined, initial, select);
}

/** What {@link useWebSocketConnection} gives. */
export interface Connection extends ConnectionState {
  readonly isConnected: boolean;
  connect(): void;
  disconnect(): void;
}

/** The connection, and what can be done with it. Disconnected on a server. */
export function useWebSocketConnection(): Connection {
  const client = useTickwire();
  const start = (client: Tickwire, changed: () => void) => ({ read: () => client.state, stop: client.on("state", changed) });
  const state = useSource("connection", OFFLINE, start);
  return {
    ...state,
    isConnected: state.status === "connected",
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),
  };
}
