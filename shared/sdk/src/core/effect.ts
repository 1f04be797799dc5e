import type { ConnectionState } from "../state.js";
import type { SubscriptionEvents } from "../subscription.js";
import type { ClientCommand, SubscriptionRequest } from "../wire.gen.js";

/** A time that does not come. */
export const NEVER = Number.POSITIVE_INFINITY;

/** A place for a link: the one that serves, or its successor while a link is left. */
export type Line = 0 | 1;

/** The link that serves. */
export const CURRENT = 0 satisfies Line;
/** Its successor. */
export const NEXT = 1 satisfies Line;

/** Who is told of a channel: a `Subscription`. `error` ends it. */
export interface Consumer {
  take<Name extends keyof SubscriptionEvents>(name: Name, event: SubscriptionEvents[Name]): void;
}

/** What the shell is to do, in order. */
export type Effect =
  /** Get a token; answer with `Session.token`. */
  | { do: "token" }
  /** Open a link. */
  | { do: "dial"; line: Line; url: string; transport: number; token: string | undefined }
  | { do: "send"; line: Line; commands: ClientCommand[] }
  /** Close and forget the link, or the attempt to make one. */
  | { do: "drop"; line: Line }
  /** What is on the next line is on the current one from now on. */
  | { do: "promote" }
  | {
      do: "deliver";
      to: Iterable<Consumer>;
      name: keyof SubscriptionEvents;
      event: SubscriptionEvents[keyof SubscriptionEvents];
    }
  | { do: "state"; state: ConnectionState };

/** What the parts of the core share. */
export interface Outlet {
  /** Adds an effect. */
  push(effect: Effect): void;
  /** Sends a command under an id of its own, which it gives. */
  send(line: Line, command: ClientCommand): number;
  /** Uniform in 0..1. */
  roll(): number;
}

/** Options of a subscription as they go to the server; `channel` beside them. */
export type Wanted = Omit<SubscriptionRequest, "channel" | "since">;
