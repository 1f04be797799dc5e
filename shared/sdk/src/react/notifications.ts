import { EMPTY, Inbox, type InboxState } from "./inbox.js";
import { sharedOf, useTickwire } from "./provider.js";
import { useStore, whole } from "./use-store.js";

/** What {@link useRealTimeNotifications} gives. Its promises fail with a `TickwireError`. */
export interface Notifications extends InboxState {
  /** Moves the read cursor up to this one, or to the newest. */
  markAsRead(id?: string): Promise<void>;
  /** Marks all as read and takes away all that need no acknowledgement. */
  clearAll(): Promise<void>;
  /** Settles a critical notification on all of the user's devices. */
  acknowledge(id: string): Promise<void>;
}

/** The inbox of the user whom the token names: newest first, critical ones until they are acknowledged. */
export function useRealTimeNotifications(): Notifications {
  const client = useTickwire();
  const inbox = sharedOf(client, "inbox", (forget) => new Inbox(client, forget));
  return {
    ...useStore(inbox.store, EMPTY, whole),
    markAsRead: (id) => inbox.markAsRead(id),
    clearAll: () => inbox.clearAll(),
    acknowledge: (id) => inbox.acknowledge(id),
  };
}
