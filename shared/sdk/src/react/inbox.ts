import {
  comparePositions,
  type Message,
  type NotificationData,
  type Position,
  type Subscription,
  type Tickwire,
} from "../index.js";
import { createStore, type Store } from "./store.js";

/** Notifications kept; of more, the oldest that need no acknowledgement go first. */
const KEPT_MAX = 500;

/** One notification of the inbox. */
export interface Notification {
  /** Its alert's id, or its position. */
  readonly id: string;
  readonly position: Position;
  /** When it was sent, milliseconds since the Unix epoch. */
  readonly time: number;
  /** Such as `risk_alert`. */
  readonly type: string;
  readonly priority: NonNullable<Message["priority"]>;
  /** All that was sent; typed events carry their fields here. */
  readonly data: Partial<NotificationData> & Readonly<Record<string, unknown>>;
  readonly isRead: boolean;
  /** Stays, and comes again on every device, until it is acknowledged. */
  readonly needsAcknowledgement: boolean;
}

/** The inbox as its components see it. */
export interface InboxState {
  /** Newest first. */
  readonly notifications: readonly Notification[];
  readonly unreadCount: number;
}

export const EMPTY: InboxState = { notifications: [], unreadCount: 0 };

/** What can be done with an inbox. The promises fail with a `TickwireError`. */
export interface InboxActions {
  /** Moves the read cursor up to this one, or to the newest. Critical ones stay until they are acknowledged. */
  markAsRead(id?: string): Promise<void>;
  /** Marks all as read and takes away all that need no acknowledgement. */
  clearAll(): Promise<void>;
  /** Settles a critical notification on all of the user's devices. */
  acknowledge(id: string): Promise<void>;
}

/** One user's inbox: what is owed, what is read, and the ways to say so. */
export function openInbox(client: Tickwire, forget: () => void): { store: Store<InboxState>; actions: InboxActions } {
  const kept = new Map<Position, Notification>();
  let subscription: Subscription<NotificationData> | undefined;
  let changed = () => {};

  const read = (): InboxState => {
    const notifications = [...kept.values()].sort((a, b) => comparePositions(b.position, a.position));
    return { notifications, unreadCount: notifications.filter((it) => !it.isRead || it.needsAcknowledgement).length };
  };
  const find = (id?: string) => read().notifications.find((it) => id === undefined || it.id === id);
  /** Acknowledged: a critical one is done with; any other moves the cursor, and all up to it are read. */
  const settle = (position: Position, cursor = !kept.get(position)?.needsAcknowledgement) => {
    for (const it of kept.values()) {
      const isMeant = cursor ? comparePositions(it.position, position) <= 0 : it.position === position;
      if (isMeant) kept.set(it.position, { ...it, isRead: true, needsAcknowledgement: cursor && it.needsAcknowledgement });
    }
    changed();
  };
  const leave = () => {
    subscription?.unsubscribe();
    subscription = undefined;
    kept.clear();
  };
  const join = () => {
    const { userId } = client.state;
    const channel = `user:${userId}`;
    if (!userId || channel === subscription?.channel) return;
    leave();
    subscription = client.subscribe<string, NotificationData>(channel);
    subscription.on("message", (message) => {
      keep(kept, message);
      changed();
    });
    subscription.on("acknowledged", ({ positions }) => positions.forEach((position) => void settle(position)));
  };
  const start = (tell: () => void) => {
    changed = tell;
    const off = client.on("state", join);
    join();
    const stop = () => {
      off();
      leave();
    };
    return { read, stop };
  };
  const ack = async (it: Notification | undefined, cursor: boolean) => {
    if (!it || !subscription) return;
    await client.ack(subscription.channel, cursor ? it.position : [it.position]);
    settle(it.position, cursor);
  };
  const actions: InboxActions = {
    markAsRead: (id) => ack(find(id), true),
    acknowledge: (id) => ack(find(id), false),
    async clearAll() {
      await actions.markAsRead();
      for (const it of [...kept.values()]) if (!it.needsAcknowledgement) kept.delete(it.position);
      changed();
    },
  };
  return { store: createStore(EMPTY, start, forget), actions };
}

function keep(
  kept: Map<Position, Notification>,
  { position, time, priority = "medium", data }: Message<NotificationData>,
): void {
  if (position === undefined) return;
  const needsAcknowledgement = priority === "critical";
  const { alertId: id = position, type } = data;
  const of = data as Notification["data"];
  kept.set(position, { id, position, time, type, priority, data: of, isRead: false, needsAcknowledgement });
  if (kept.size <= KEPT_MAX) return;
  const all = [...kept.values()];
  const oldest = all.find((it) => !it.needsAcknowledgement) ?? all[0];
  kept.delete(oldest?.position ?? "");
}
