import type { ServerFrame } from "../wire.gen.js";
import { HttpLink } from "./http-link.js";
import type { Transport } from "./transport.js";

/** The edge says something at least every 25 s. */
const SILENCE_MS = 60_000;

/** Server-Sent Events, for networks that let no WebSocket through. Subscriptions only: calls fail with `unsupported`. */
export const serverSentEvents: Transport = {
  name: "sse",
  open: (dial, events) => new HttpLink(dial, events, stream),
};

async function stream(link: HttpLink, signal: AbortSignal, channels: readonly string[]): Promise<void> {
  const lastEventId = link.cursors && { "last-event-id": link.cursors };
  const answer = await link.get("/sse", { channels: channels.join(",") }, lastEventId || {}, signal);
  if (!answer?.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let silence: ReturnType<typeof setTimeout> | undefined;
  let text = "";
  try {
    for (;;) {
      clearTimeout(silence);
      silence = setTimeout(() => link.end({}), SILENCE_MS);
      const { done, value } = await reader.read();
      if (signal.aborted) return;
      if (done) return link.end({});
      const events = (text + value).split("\n\n");
      text = events.pop() ?? "";
      take(link, events);
    }
  } finally {
    clearTimeout(silence);
    reader.cancel().catch(() => {});
  }
}

/** Whole events: their frames in one go, and where they leave the channels. */
function take(link: HttpLink, events: string[]): void {
  const frames: ServerFrame[] = [];
  for (const event of events) {
    const lines = event.split("\n");
    const field = (name: string) => lines.find((line) => line.startsWith(name))?.slice(name.length);
    const [id, data] = [field("id: "), field("data: ")];
    if (data !== undefined) frames.push(JSON.parse(data) as ServerFrame);
    if (id !== undefined) link.moveTo(id);
  }
  link.emit(frames);
}
