import { EMPTY, type InboxActions, type InboxState, openInbox } from "./inbox.js";
import { sharedOf, useTickwire } from "./provider.js";
import { useStore } from "./use-store.js";

/** What {@link useRealTimeNotifications} gives. */
export interface Notifications extends InboxState, InboxActions {}

/** The inbox of the user whom the token names: newest first, critical ones until they are acknowledged. */
export function useRealTimeNotifications(): Notifications {
  const client = useTickwire();
  const { store, actions } = sharedOf(client, "inbox", (forget) => openInbox(client, forget));
  return { ...useStore(store, EMPTY), ...actions };
}
