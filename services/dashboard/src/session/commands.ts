import { call } from "../lib/services";

/** What a user can tell a session. */
export type Command = "start" | "pause" | "resume" | "stop" | "emergency-stop";

/** Tells the session service, once: repeating a command under its key changes nothing more. */
export async function command(session: string, what: Command, key: string): Promise<void> {
  await call<unknown>("session", `/v1/sessions/${encodeURIComponent(session)}/${what}`, {}, key);
}

/** What makes sense in a status; unknown ones allow what is safe. */
export function allowed(status: string | undefined): readonly Command[] {
  switch (status) {
    case "active":
      return ["pause", "stop", "emergency-stop"];
    case "paused":
      return ["resume", "stop", "emergency-stop"];
    case "completed":
    case "expired":
    case "emergency_stopped":
      return [];
    default:
      return ["start", "emergency-stop"];
  }
}
