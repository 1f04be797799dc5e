import { words } from "../lib/format";
import { StatusDot, type Tone } from "../parts/parts";

const TONES: Record<string, Tone> = {
  active: "good",
  paused: "warn",
  completed: "idle",
  expired: "idle",
  emergency_stopped: "bad",
};

/** Whether nothing can happen in it any more. */
export const isOver = (status: string | undefined) => ["completed", "expired", "emergency_stopped"].includes(status ?? "");

/** A session's status. */
export function SessionStatusDot({ status }: { status: string | undefined }) {
  return <StatusDot tone={TONES[status ?? ""] ?? "busy"}>{status ? words(status) : "unknown"}</StatusDot>;
}
