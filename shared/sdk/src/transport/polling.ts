import type { ErrorFrame, MessageFrame, ServerFrame, SubscribedFrame } from "../wire.gen.js";
import { before, HttpLink } from "./http-link.js";
import type { Transport } from "./transport.js";

/** How long the edge holds a poll, seconds, and when to give it up. */
const WAIT_S = 25;
const PATIENCE_MS = 45_000;

/** What `GET /poll` answers. */
interface Batch {
  messages: MessageFrame[];
  next: string;
  reset?: string[];
  errors?: ErrorFrame[];
}

/** Long polling, for networks that let nothing else through. Subscriptions only: calls fail with `unsupported`. */
export const longPolling: Transport = {
  name: "polling",
  open: (dial, events) => new HttpLink(dial, events, poll),
};

async function poll(link: HttpLink, signal: AbortSignal, channels: readonly string[]): Promise<void> {
  for (;;) {
    // What was asked for just now is answered at once.
    const isNew = link.isGreeting || channels.some((channel) => link.wanted(channel)?.id !== undefined);
    const query = { channels: channels.join(","), wait: String(isNew ? 0 : WAIT_S), since: link.cursors };
    const late = setTimeout(() => link.end({}), PATIENCE_MS);
    try {
      const answer = await link.get("/poll", query, {}, signal);
      if (!answer) return;
      const batch = (await answer.json()) as Batch;
      if (signal.aborted) return;
      if (link.isGreeting) return link.greeted();
      link.emit(frames(link, channels, batch));
    } finally {
      clearTimeout(late);
    }
    if (signal.aborted) return;
  }
}

function frames(
  link: HttpLink,
  channels: readonly string[],
  { messages, next, reset = [], errors = [] }: Batch,
): ServerFrame[] {
  const known = new Map(channels.map((channel) => [channel, link.wanted(channel)?.cursor]));
  link.moveTo(next);
  const refused = new Set(errors.map(({ channel }) => channel));
  const joined = channels.filter((channel) => link.wanted(channel)?.id !== undefined && !refused.has(channel));
  const answers = joined.map((channel) => {
    const own = messages.filter((message) => message.channel === channel);
    const recovered = known.get(channel) !== undefined && !reset.includes(channel);
    const position = link.wanted(channel)?.cursor;
    // A poll does not tell the class: the core goes by what each message carries.
    return {
      type: "subscribed",
      channel,
      position,
      recovered,
      messages: own,
    } as unknown as SubscribedFrame;
  });
  const lost = reset.filter((channel) => !joined.includes(channel));
  const resets = lost.flatMap((channel): ServerFrame[] => {
    const position = link.wanted(channel)?.cursor;
    return position === undefined
      ? []
      : [{ type: "reset", channel, position: before(messages, channel, position), reason: "history_lost" }];
  });
  return [...errors, ...answers, ...resets, ...messages.filter(({ channel }) => !joined.includes(channel))];
}
