import type { Report } from "./emitter.js";
import type { PollFallback, Subscription } from "./subscription.js";
import type { MessageFrame, Position } from "./wire.gen.js";

/**
 * Runs the app's own polling while a subscription is pending; what a poll brings after that is dropped. `position`: where the
 * subscription stands; `take`: gets what came.
 */
export function standIn(
  { poll, after = 3_000, interval = 5_000 }: PollFallback,
  subscription: Pick<Subscription, "channel" | "status" | "on">,
  position: () => Position | undefined,
  take: (messages: MessageFrame[]) => void,
  report: Report,
): void {
  const { channel } = subscription;
  let round: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ask = async ({ signal } = round as AbortController) => {
    try {
      const polled = await poll(position(), signal);
      if (!signal.aborted) take(polled.map((message) => ({ type: "message", channel, time: Date.now(), ...message })));
    } catch (error) {
      if (!signal.aborted) report(error);
    }
    if (!signal.aborted) timer = setTimeout(ask, interval);
  };
  const follow = () => {
    clearTimeout(timer);
    round?.abort();
    if (subscription.status !== "pending") return;
    round = new AbortController();
    timer = setTimeout(ask, after);
  };
  subscription.on("status", follow);
  follow();
}
