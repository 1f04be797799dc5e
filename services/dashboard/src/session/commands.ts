import { call, ServiceError } from "../lib/services";

/** What a user can tell a session. */
export type Command = "start" | "pause" | "resume" | "stop" | "emergency-stop";

/** Tells the session service, once: repeating a command under its key changes nothing more. */
export async function command(session: string, what: Command, key: string): Promise<void> {
  const send = (verb: string, body: object, under: string) =>
    call<unknown>("session", `/v1/sessions/${encodeURIComponent(session)}/${verb}`, body, under);
  try {
    await send(what, {}, key);
  } catch (error) {
    const isRisks = what === "emergency-stop" && error instanceof ServiceError && error.kind === "forbidden";
    if (!isRisks) throw error;
    // That status is for risk to give. A user's stop closes orders and positions just as well, and says whose it was.
    await send("stop", { reason: "emergency stop by its user" }, `${key}-stop`);
  }
}

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
