import type { DisconnectReason } from "../state.js";

/** Where the client stands with its link; times in milliseconds of the session's clock. */
export type Phase =
  /** Not begun, or ended. */
  | { name: "idle" }
  /** Between attempts. `advised`: the server named the time, and no event of the browser shortens it. */
  | { name: "waiting"; until: number; advised: boolean }
  /** For a token. */
  | { name: "token"; until: number }
  | { name: "dialing"; until: number }
  /** Open; `connected` has not come yet. */
  | { name: "greeting"; until: number }
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

/** What follows from an end. */
export interface Verdict {
  readonly next: "retry" | "token" | "stop";
  readonly reason: DisconnectReason;
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

/** What a close code or a status asks for. What the table does not name is retried: a proxy may have made it. */
export function verdict({ code, status }: LinkEnd): Verdict {
  const reason = REASONS[code ?? status ?? 0] ?? "link_lost";
  if (reason === "unauthenticated") return { next: "token", reason };
  return { next: FINAL.includes(reason) ? "stop" : "retry", reason };
}
