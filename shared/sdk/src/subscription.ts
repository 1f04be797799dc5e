import { Emitter, type Report } from "./emitter.js";
import { TickwireError } from "./errors.js";
import type { DeliveryClass, MessageFrame, Position, ResetReason, SubscriptionRequest } from "./wire.gen.js";

/** A message as consumers see it. */
export interface Message<T = unknown> extends Omit<MessageFrame, "data" | "type"> {
  readonly data: T;
  /** It was not seen live: it was missed, or is a current value that came with the subscription. */
  readonly recovered: boolean;
}

/** What `subscribe` takes beside the channel. */
export interface SubscribeOptions extends Omit<SubscriptionRequest, "channel"> {
  /** A way of the app's own to learn what is new, used while there is no live subscription. See {@link PollFallback}. */
  pollFallback?: PollFallback;
}

/** The app's own polling, which stands in while Tickwire cannot be reached and steps back when it can. */
export interface PollFallback {
  /** Gets what is newer than `since`. Messages with a position that was seen already are dropped. */
  poll(since: Position | undefined, signal: AbortSignal): Promise<readonly PolledMessage[]>;
  /** Between two polls, milliseconds. Default 5,000. */
  interval?: number;
  /** How long the subscription may be away before the first poll, milliseconds. Default 3,000. */
  after?: number;
}

/** One message that the app fetched itself. */
export interface PolledMessage {
  data: unknown;
  position?: Position;
  key?: string;
  time?: number;
}

/** The events of a subscription by name. */
export interface SubscriptionEvents<T = unknown> {
  /** Every message once, in the channel's order. */
  message: Message<T>;
  /** The server serves the channel, for the first time or again. */
  subscribed: { class: DeliveryClass | undefined; position: Position | undefined; recovered: boolean; first: boolean };
  /** Messages are lost for this client, and what follows counts from `position`: fetch a snapshot from its own source. */
  gap: { reason: "not_recovered" | ResetReason; position: Position | undefined };
  presence: { event: "join" | "leave"; userId: string };
  /** Messages of a `volatile` channel that this client read too slowly for. */
  dropped: { count: number };
  /** Inbox messages that were acknowledged, here or on another device. */
  acknowledged: { positions: readonly Position[] };
  /** The server does not serve it for now, and why; it is asked again by itself. */
  delayed: TickwireError;
  /** Where it stands; see {@link Subscription.status}. */
  status: SubscriptionStatus;
  /** It ended, and why: the grant is missing or over, or the client was destroyed. */
  error: TickwireError;
}

/** `pending` until the server serves it (again), `live`, and at last `ended`. */
export type SubscriptionStatus = "pending" | "live" | "ended";

/** Messages that wait for an iterator's consumer; beyond it the iterator fails with `overflow`. */
const ITERATOR_MAX = 10_000;

/** One user's view of a channel. */
export class Subscription<T = unknown> implements AsyncIterable<Message<T>> {
  readonly channel: string;
  #status: SubscriptionStatus = "pending";
  #error: TickwireError | undefined;
  readonly #keys: ReadonlySet<string> | undefined;
  readonly #events: Emitter<SubscriptionEvents<T>>;
  readonly #leave: () => void;

  /** @internal */
  constructor(channel: string, keys: readonly string[] | undefined, report: Report, leave: () => void) {
    this.channel = channel;
    this.#keys = keys && new Set(keys);
    this.#events = new Emitter(report);
    this.#leave = leave;
  }

  get status(): SubscriptionStatus {
    return this.#status;
  }

  /** Why it ended, or why it is not served for now. */
  get error(): TickwireError | undefined {
    return this.#error;
  }

  /** Adds a listener; the function returned takes it away. What a listener throws is reported and stops nothing. */
  on<Name extends keyof SubscriptionEvents<T>>(name: Name, listener: (event: SubscriptionEvents<T>[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Ends it. The server is told when the channel's last user left. */
  unsubscribe(): void {
    if (this.#status === "ended") return;
    this.#setStatus("ended");
    this.#events.clear();
    this.#leave();
  }

  /** The messages from now on. Ends with the subscription; leaving the loop leaves the subscription as it is. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message<T>, void, void> {
    const waiting: Message<T>[] = [];
    let wake = () => {};
    let failure: TickwireError | undefined;
    const offs = [
      this.on("message", (message) => {
        if (waiting.length < ITERATOR_MAX) waiting.push(message);
        else failure ??= new TickwireError({ code: "overflow", channel: this.channel });
        wake();
      }),
      this.on("status", () => wake()),
    ];
    try {
      for (;;) {
        // What came before a failure is handed out first.
        const next = waiting.shift();
        if (next) yield next;
        else if (failure) throw failure;
        else if (this.status === "ended") {
          if (this.#error) throw this.#error;
          return;
        } else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      for (const off of offs) off();
    }
  }

  /** @internal */
  take<Name extends keyof SubscriptionEvents>(name: Name, event: SubscriptionEvents[Name]): void {
    if (this.#status === "ended") return;
    if (name === "message" && this.#keys && !this.#keys.has((event as Message).key ?? "")) return;
    if (name === "status") return this.#setStatus(event as SubscriptionStatus);
    if (name === "subscribed" || name === "delayed" || name === "error") {
      this.#error = name === "subscribed" ? undefined : (event as TickwireError);
      if (name !== "delayed") this.#setStatus(name === "error" ? "ended" : "live");
    }
    this.#events.emit(name, event as never);
  }

  #setStatus(status: SubscriptionStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#events.emit("status", status);
  }
}
