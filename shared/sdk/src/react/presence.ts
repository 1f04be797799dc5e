import type { Tickwire } from "../index.js";
import { useSource } from "./provider.js";
import type { Source } from "./store.js";

/** Who is in a channel. */
export interface PresenceState {
  /** Distinct users, perhaps not all of a great crowd. */
  readonly users: readonly string[];
  readonly count: number;
  readonly isLoading: boolean;
}

const LOADING: PresenceState = { users: [], count: 0, isLoading: true };

function follow(client: Tickwire, channel: string, changed: () => void): Source<PresenceState> {
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
}

/** Who is in a channel, where its namespace keeps presence. */
export function usePresence(channel: string | null | undefined): PresenceState {
  const start = (client: Tickwire, changed: () => void) => follow(client, channel as string, changed);
  return useSource(channel && `presence ${channel}`, LOADING, start);
}
