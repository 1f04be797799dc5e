import type { Notification } from "@tickwire/client/react";
import { words } from "../lib/format";

/** What a notification is called. */
export function titleOf({ data, type }: Notification): string {
  if (typeof data.title === "string" && data.title) return data.title;
  const kind = typeof data.alertType === "string" ? words(data.alertType) : "";
  const session = typeof data.sessionId === "string" ? ` · session ${data.sessionId}` : "";
  if (type === "emergency_stop") return `Emergency stop${session}`;
  const text = kind || words(type) || "notification";
  return text.charAt(0).toUpperCase() + text.slice(1) + session;
}

/** What it says. */
export function textOf({ data }: Notification): string {
  const said = data.message ?? data.reason;
  const text = typeof said === "string" ? said : "";
  const { currentValue, threshold } = data;
  const values =
    currentValue !== undefined && threshold !== undefined ? `Now ${String(currentValue)}, limit ${String(threshold)}.` : "";
  return [text && (/[.!?]$/.test(text) ? text : `${text}.`), values].filter(Boolean).join(" ");
}

/** How grave it is: the alert's own level, or the message's priority. */
export function levelOf({ data, priority }: Notification): string {
  return typeof data.alertLevel === "string" ? data.alertLevel : priority;
}
