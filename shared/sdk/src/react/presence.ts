import type { Tickwire } from "../index.js";
import { sharedOf, useTickwire } from "./provider.js";
import { createStore, type Store } from "./store.js";
import { SILENT, useStore, whole } from "./use-store.js";

/** Who is in a channel. */
export interface PresenceState {
  /** Distinct users, perhaps not all of a great crowd. */
  readonly users: readonly string[];
  readonly count: number;
  readonly isLoading: boolean;
}

const LOADING: PresenceState = { users: [], count: 0, isLoading: true };

function presenceStore(client: Tickwire, channel: string, forget: () => void): Store<PresenceState> {
  const start = (changed: () => void) => {
    const users = new Set<string>();
    /** Users that the list did not name. */
    let others = 0;
    let isLoading = true;
    const subscription = client.subscribe(channel);
    const load = async () => {
      try {
        const list = await client.presence(channel);
        users.clear();
        for (const user of list.users) users.add(user);
        others = list.count - list.users.length;
      } catch {
        // The next connection asks again.
      }
      isLoading = false;
      changed();
    };
    subscription.on("subscribed", load);
    subscription.on("presence", ({ event, userId }) => {
      if (event === "join") users.add(userId);
      else if (!users.delete(userId)) others = Math.max(0, others - 1);
      changed();
    });
    const read = () => ({ users: [...users], count: users.size + others, isLoading });
    return { read, stop: () => subscription.unsubscribe() };
  };
  return createStore(LOADING, start, forget);
}

/** Who is in a channel, where its namespace keeps presence. */
export function usePresence(channel: string | null | undefined): PresenceState {
  const client = useTickwire();
  const store = channel
    ? sharedOf(client, `presence ${channel}`, (forget) => presenceStore(client, channel, forget))
    : (SILENT as unknown as Store<never>);
  return useStore(store as Store<PresenceState>, LOADING, whole);
}
