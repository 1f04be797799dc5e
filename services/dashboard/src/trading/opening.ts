/** A session from the form to its start: made, told where alerts begin, started. Every step may be repeated without harm. */

import { ServiceError } from "../lib/services";
import { command } from "../session/commands";
import type { Thresholds } from "../session/thresholds";
import { setThresholds } from "../session/thresholds-api";
import { create, type NewSession, type SessionRecord } from "./records";

/** What is being done. */
export type OpeningStep = "create" | "thresholds" | "start";

/** Some seconds for risk to hear of the session and take it. */
const TRIES = 20;

async function tell(session: string, thresholds: Thresholds): Promise<void> {
  try {
    await setThresholds(session, thresholds, TRIES);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ServiceError("unreachable", `The session is made but not started: its thresholds could not be set. ${why}`);
  }
}

/** Opens a session under `key`. A start that fails is no error: the session's own screen shows it unstarted, and tries again. */
export async function openSession(
  asked: NewSession,
  thresholds: Thresholds | undefined,
  key: string,
  onStep: (step: OpeningStep) => void,
): Promise<SessionRecord> {
  onStep("create");
  const record = await create(asked, key);
  if (thresholds) {
    onStep("thresholds");
    await tell(record.sessionId, thresholds);
  }
  onStep("start");
  await command(record.sessionId, "start", `${key}-start`).catch(() => {});
  return record;
}
