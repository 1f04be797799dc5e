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

const VERDICTS: Readonly<Record<number, Verdict>> = {
  1000: { next: "stop", reason: "closed_by_server" },
  1001: { next: "retry", reason: "draining" },
  1009: { next: "stop", reason: "refused" },
  400: { next: "stop", reason: "refused" },
  401: { next: "token", reason: "unauthenticated" },
  403: { next: "stop", reason: "refused" },
  429: { next: "retry", reason: "rate_limited" },
  4400: { next: "stop", reason: "refused" },
  4401: { next: "token", reason: "unauthenticated" },
  4403: { next: "stop", reason: "blocked" },
  4409: { next: "stop", reason: "replaced" },
  4429: { next: "retry", reason: "rate_limited" },
  4430: { next: "retry", reason: "too_slow" },
  4500: { next: "retry", reason: "server_error" },
};

/** The table of close codes and HTTP statuses. What it does not name is retried: a proxy may have made it. */
export function verdict(end: LinkEnd): Verdict {
  return VERDICTS[end.code ?? end.status ?? 0] ?? { next: "retry", reason: "link_lost" };
}
