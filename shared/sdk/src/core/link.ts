import type { DisconnectReason } from "../state.js";

/** Where the client stands with its link; times in milliseconds of the session's clock. */
export type Phase =
  /** Not begun, or ended. */
  | { name: "idle"; until?: undefined }
  /** Between attempts. `advised`: the server named the time, and no event of the browser shortens it. */
  | { name: "waiting"; until: number; advised?: boolean }
  /** For a token; for the link; open, and `connected` has not come yet. */
  | { name: "token" | "dialing" | "greeting"; until: number }
  | { name: "ready"; since: number };

/** How a link, or the attempt to make one, ended. */
export interface LinkEnd {
  /** The close code, if the server closed. */
  readonly code?: number | undefined;
  /** The HTTP status that refused it, where the transport can see it. */
  readonly status?: number | undefined;
  /** `Retry-After`, where the transport can see it. */
  readonly retryAfterMs?: number | undefined;
}

/** By close code or HTTP status. */
const REASONS: Readonly<Record<number, DisconnectReason>> = {
  400: "refused",
  401: "unauthenticated",
  403: "refused",
  429: "rate_limited",
  1000: "closed_by_server",
  1001: "draining",
  1009: "refused",
  4400: "refused",
  4401: "unauthenticated",
  4403: "blocked",
  4409: "replaced",
  4429: "rate_limited",
  4430: "too_slow",
  4500: "server_error",
};
const FINAL: readonly DisconnectReason[] = ["refused", "closed_by_server", "blocked", "replaced"];

/** Why it ended. What the table does not name a proxy may have made: it is tried again. */
export function reasonOf({ code, status }: LinkEnd): DisconnectReason {
  return REASONS[code ?? status ?? 0] ?? "link_lost";
}

/** Whether trying again would lead to the same end. */
export function isFinal(reason: DisconnectReason): boolean {
  return FINAL.includes(reason);
}
