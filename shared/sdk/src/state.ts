/** Where a client stands. `error` is final until the app calls `connect()` again; see {@link DisconnectReason}. */
export type ConnectionStatus = "connecting" | "connected" | "reconnecting" | "disconnected" | "error";

/** Why there is no connection. */
export type DisconnectReason =
  /** `disconnect()` or `destroy()` was called, or nothing has been begun yet. */
  | "closed_here"
  /** The server closed normally. */
  | "closed_by_server"
  /** No token was accepted. */
  | "unauthenticated"
  /** The user is blocked or was disconnected by an operator (4403). */
  | "blocked"
  /** Another connection took this one's place (4409). */
  | "replaced"
  /** The server refused what this client sends (1009, 4400). */
  | "refused"
  /** `attempts` attempts failed. */
  | "attempts_exhausted"
  /** The link broke, or could not be made, or fell silent. */
  | "link_lost"
  /** The page was left; it goes on if it comes back from the browser's cache of pages. */
  | "page_left"
  /** The node drains. */
  | "draining"
  /** The server asked for slower or fewer connections (4429). */
  | "rate_limited"
  /** This client read too slowly (4430); it recovers by position. */
  | "too_slow"
  /** Something failed in the server (4500). */
  | "server_error";

/** A moment of the connection; an immutable value. */
export interface ConnectionState {
  readonly status: ConnectionStatus;
  /** Why it is not connected. */
  readonly reason?: DisconnectReason;
  /** Close code of the link that ended. */
  readonly code?: number;
  /** Attempts since a connection last stood for a second. */
  readonly attempt?: number;
  /** While `reconnecting`: milliseconds until the next attempt, as of this state. */
  readonly retryInMs?: number;
  /** While `connected`: how. */
  readonly transport?: string;
  readonly node?: string;
  readonly connectionId?: string;
  readonly userId?: string;
}
