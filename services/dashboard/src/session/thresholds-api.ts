import { call, ServiceError } from "../lib/services";
import type { Thresholds } from "./thresholds";

const path = (session: string) => `/v1/sessions/${encodeURIComponent(session)}/thresholds`;

const PAUSE_MS = 250;

export const getThresholds = (session: string) => call<Thresholds>("risk", path(session));

/**
 * Sets them: repeating it changes nothing. Risk hears of a new session by the cluster, and one of its instances takes it, usually
 * within a second; where there are several, another one may be asked first. So it is tried a few times.
 */
export async function setThresholds(session: string, thresholds: Thresholds, tries = 4): Promise<void> {
  const isEarly = (error: unknown) => error instanceof ServiceError && (error.kind === "unreachable" || error.status === 404);
  for (let left = tries; ; left -= 1) {
    try {
      await call("risk", path(session), thresholds, undefined, "PUT");
      return;
    } catch (error) {
      if (left <= 1 || !isEarly(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
