import { call } from "../lib/services";
import type { SessionRecord } from "../trading/records";

/** What a user can tell a session. */
export type Command = "start" | "pause" | "resume" | "stop" | "emergency-stop";

/**
 * Tells the session service, once: repeating a command under its key changes nothing more. Answers with the session as it is then; of an
 * emergency stop the rest, orders and positions, is risk's and is told by events.
 */
export const command = (session: string, what: Command, key: string): Promise<SessionRecord> =>
  call<SessionRecord>("session", `/v1/sessions/${encodeURIComponent(session)}/${what}`, {}, key);

/** What makes sense in a status; unknown ones allow what is safe. One that was never started counts as paused. */
export function allowed(status: string | undefined, hasStarted = true): readonly Command[] {
  switch (status) {
    case "active":
      return ["pause", "stop", "emergency-stop"];
    case "paused":
      return hasStarted ? ["resume", "stop", "emergency-stop"] : ["start", "stop"];
    case "completed":
    case "expired":
    case "emergency_stopped":
      return [];
    default:
      return ["start", "emergency-stop"];
  }
}
