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

/** One user's inbox: what is owed, what is read, and the ways to say so. */
export class Inbox {
  readonly store: Store<InboxState>;
  readonly #client: Tickwire;
  readonly #byPosition = new Map<Position, Notification>();
  #subscription: Subscription<NotificationData> | undefined;
  #changed = () => {};

  constructor(client: Tickwire, forget: () => void) {
    this.#client = client;
    const start = (changed: () => void) => {
      this.#changed = changed;
      const off = client.on("state", () => this.#join());
      this.#join();
      const stop = () => {
        off();
        this.#leave();
      };
      return { read: () => this.#read(), stop };
    };
    this.store = createStore(EMPTY, start, forget);
  }

  /** Moves the read cursor: up to `id`, or to the newest. Critical ones stay until they are acknowledged. */
  async markAsRead(id?: string): Promise<void> {
    const to = id === undefined ? this.#newest() : this.#find(id);
    if (!to) return;
    await this.#ack(to.position);
    for (const it of this.#byPosition.values()) {
      if (comparePositions(it.position, to.position) <= 0) this.#byPosition.set(it.position, { ...it, isRead: true });
    }
    this.#changed();
  }

  /** Settles one critical notification, on all of the user's devices. */
  async acknowledge(id: string): Promise<void> {
    const it = this.#find(id);
    if (!it) return;
    if (this.#subscription) await this.#client.ack(this.#subscription.channel, [it.position]);
    this.#settle(it.position);
  }

  /** Marks all as read and takes away all that need no acknowledgement. */
  async clearAll(): Promise<void> {
    await this.markAsRead();
    for (const it of [...this.#byPosition.values()]) if (!it.needsAcknowledgement) this.#byPosition.delete(it.position);
    this.#changed();
  }

  #join(): void {
    const { userId } = this.#client.state;
    const channel = userId && `user:${userId}`;
    if (!channel || channel === this.#subscription?.channel) return;
    this.#leave();
    const subscription = this.#client.subscribe<string, NotificationData>(channel);
    this.#subscription = subscription;
    subscription.on("message", (message) => this.#take(message));
    subscription.on("acknowledged", ({ positions }) => positions.forEach((position) => void this.#settle(position)));
  }

  #leave(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#byPosition.clear();
  }

  #take({ position, time, priority = "medium", data }: Message<NotificationData>): void {
    if (position === undefined) return;
    const more = { isRead: false, needsAcknowledgement: priority === "critical" };
    const { alertId: id = position, type } = data;
    this.#byPosition.set(position, { id, position, time, type, priority, data: data as Notification["data"], ...more });
    if (this.#byPosition.size > KEPT_MAX) {
      const all = [...this.#byPosition.values()];
      const oldest = all.find((it) => !it.needsAcknowledgement) ?? all[0];
      this.#byPosition.delete(oldest?.position ?? "");
    }
    this.#changed();
  }

  /** Acknowledged: a critical one is done with; of ordinary ones, all up to it are read. */
  #settle(position: Position): void {
    const settled = this.#byPosition.get(position);
    if (settled?.needsAcknowledgement) {
      this.#byPosition.set(position, { ...settled, isRead: true, needsAcknowledgement: false });
    } else {
      for (const it of this.#byPosition.values()) {
        const isUpTo = !it.needsAcknowledgement && comparePositions(it.position, position) <= 0;
        if (isUpTo) this.#byPosition.set(it.position, { ...it, isRead: true });
      }
    }
    this.#changed();
  }

  async #ack(position: Position): Promise<void> {
    if (this.#subscription) await this.#client.ack(this.#subscription.channel, position);
  }

  #find(id: string): Notification | undefined {
    return [...this.#byPosition.values()].find((it) => it.id === id);
  }

  #newest(): Notification | undefined {
    return this.#read().notifications[0];
  }

  #read(): InboxState {
    const notifications = [...this.#byPosition.values()].sort((a, b) => comparePositions(b.position, a.position));
    const unreadCount = notifications.filter((it) => !it.isRead || it.needsAcknowledgement).length;
    return { notifications, unreadCount };
  }
}
