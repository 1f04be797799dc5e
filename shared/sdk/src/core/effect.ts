import type { TickwireError } from "../errors.js";
import type { ConnectionState } from "../state.js";
import type {
  ClientCommand,
  DeliveryClass,
  MessageFrame,
  Position,
  ResetReason,
  ServerFrame,
  SubscriptionRequest,
} from "../wire.gen.js";

/** A place for a link: the one that serves, or its successor while a link is left. */
export type Line = 0 | 1;

/** The link that serves. */
export const CURRENT = 0 satisfies Line;
/** Its successor. */
export const NEXT = 1 satisfies Line;

/** What a channel's consumers are told. */
export type ChannelEvent =
  | { type: "message"; message: MessageFrame; recovered: boolean }
  | { type: "subscribed"; class: DeliveryClass | undefined; position: Position | undefined; recovered: boolean; first: boolean }
  | { type: "gap"; reason: "not_recovered" | ResetReason; position: Position | undefined }
  | { type: "presence"; event: "join" | "leave"; userId: string }
  | { type: "dropped"; count: number }
  | { type: "acknowledged"; positions: readonly Position[] }
  | { type: "delayed"; error: TickwireError }
  | { type: "ended"; error: TickwireError };

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
  | { do: "deliver"; channel: string; event: ChannelEvent }
  | { do: "answer"; call: number; reply: ServerFrame | TickwireError }
  | { do: "state"; state: ConnectionState };

/** What the parts of the core share. */
export interface Outlet {
  /** Adds an effect. */
  push(effect: Effect): void;
  /** The next request id. */
  id(): number;
  /** Uniform in 0..1. */
  roll(): number;
}

/** Options of a subscription as they go to the server; `channel` beside them. */
export type Wanted = Omit<SubscriptionRequest, "channel" | "since">;
