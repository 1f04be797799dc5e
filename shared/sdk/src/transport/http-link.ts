import type { LinkEnd } from "../core/link.js";
import { isLossy } from "../core/track.js";
import type {
  ClientCommand,
  ConnectedFrame,
  ErrorCode,
  ErrorFrame,
  MessageFrame,
  Position,
  ServerFrame,
  SubscribeCommand,
  SubscribedFrame,
} from "../wire.gen.js";
import type { Dial, Link, LinkEvents } from "./transport.js";

/** The answer to a question whether the network is there. */
const PROBE = { mode: "no-cors", cache: "no-store" } as const;
/** A channel that everyone may read: proves a token, and that an answer gets through. */
const GREETING_CHANNEL = "system";

/** When to ask again for what only a WebSocket carries: a better transport may have been found by then. */
const RETRY_AFTER_MS = 30_000;

/** How a link stands with a channel. */
export interface Wanted {
  /** Of the `subscribe` that awaits its answer. */
  id: number | undefined;
  readonly keys: ReadonlySet<string> | undefined;
  /** Where it stands, as the edge last said. */
  cursor: Position | undefined;
}

/** What a transport over HTTP does in a round: one stream, or polls until the channels change. */
export type Round = (link: HttpLink, signal: AbortSignal, channels: readonly string[]) => Promise<void>;

/**
 * Speaks the native protocol towards the core and HTTP towards the edge: subscriptions become the channels of the next request,
 * and where each stands goes with it, so that nothing is missed or doubled between two requests. Only subscriptions pass;
 * all else is refused at once as `unsupported`.
 */
export class HttpLink implements Link {
  readonly #dial: Dial;
  readonly #events: LinkEvents;
  readonly #round: Round;
  readonly #wanted = new Map<string, Wanted>();
  #token: string | undefined;
  #greeting: number | undefined;
  #running: AbortController | undefined;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(dial: Dial, events: LinkEvents, round: Round) {
    this.#dial = dial;
    this.#events = events;
    this.#round = round;
    this.#token = dial.token;
    // One task later, as every other transport.
    this.#restart = setTimeout(() => events.open());
  }

  /** The `connect` that awaits its answer. */
  get isGreeting(): boolean {
    return this.#greeting !== undefined;
  }

  /** Where the channels stand, as the edge writes it. */
  get cursors(): string {
    return [...this.#wanted].flatMap(([channel, { cursor }]) => (cursor ? `${channel}@${cursor}` : [])).join(",");
  }

  wanted(channel: string): Wanted | undefined {
    return this.#wanted.get(channel);
  }

  /** Takes where the channels stand from the edge's text. */
  moveTo(cursors: string): void {
    for (const entry of cursors.split(",")) {
      const at = entry.lastIndexOf("@");
      const wanted = this.#wanted.get(entry.slice(0, Math.max(at, 0)));
      if (wanted) wanted.cursor = entry.slice(at + 1);
    }
  }

  send(commands: readonly ClientCommand[]): void {
    for (const command of commands) this.#take(command);
  }

  close(): void {
    this.#isOver = true;
    clearTimeout(this.#restart);
    this.#running?.abort();
  }

  end(end: LinkEnd): void {
    if (this.#isOver) return;
    this.close();
    this.#events.end(end);
  }

  /** Hands frames to the core, as they would have come over a WebSocket. */
  emit(frames: readonly ServerFrame[]): void {
    const passed = frames.flatMap((frame) => this.#native(frame));
    if (!this.#isOver && passed.length > 0) this.#events.frames(passed);
  }

  /** A request of the edge; ends the link and gives `undefined` if it is refused. */
  async get(
    path: string,
    query: Record<string, string>,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Response | undefined> {
    const all = { ...headers, ...(this.#token && { authorization: `Bearer ${this.#token}` }) };
    const url = `${this.#base()}${path}?${new URLSearchParams(query)}`;
    const answer = await this.#dial.fetch(url, { headers: all, signal, cache: "no-store" });
    if (answer.ok || signal.aborted) return answer;
    await this.#refused(answer);
    return undefined;
  }

  /** The greeting is answered: authenticated, and answers get through. */
  greeted(frame: Partial<ConnectedFrame> = {}): void {
    const id = this.#greeting;
    if (id === undefined) return;
    this.#greeting = undefined;
    const known = { connectionId: "", node: "", time: Date.now(), heartbeatInterval: 25_000, ...claims(this.#token) };
    this.#tell({ ...known, ...frame, id, type: "connected" });
    this.#begin();
  }

  #take(command: ClientCommand): void {
    if (command.type === "connect") {
      this.#token = command.token ?? this.#token;
      this.#greeting = command.id;
      this.#begin();
    } else if (command.type === "subscribe") this.#subscribe(command);
    else if (command.type === "unsubscribe") {
      for (const channel of command.channels) this.#wanted.delete(channel);
      this.#begin();
    } else if (command.type === "refresh") {
      // Proved by the next request, which takes the place of the one under way before the old token ends that.
      this.#token = command.token;
      this.#tell({ type: "refreshed", id: command.id, expiresAt: claims(command.token).expiresAt as number });
      this.#begin();
    } else if (command.type === "ping") {
      this.#dial.fetch(`${this.#base()}/healthz`, PROBE).then(
        () => this.#tell({ type: "pong", id: command.id, time: Date.now() }),
        () => this.end({}),
      );
    } else if ("id" in command) this.#cannot(command.id, "calls");
  }

  /** Refuses what the edge does over a WebSocket only. */
  #cannot(id: number | undefined, what: string, more: Partial<ErrorFrame> = {}): void {
    // A code of this package's own beside those of the server.
    const code = "unsupported" as ErrorCode;
    const message = `${what} need a WebSocket`;
    // One task later, so that whoever subscribed can listen.
    queueMicrotask(() => this.#tell({ type: "error", id, code, message, retryable: true, ...more }));
  }

  #tell(frame: ServerFrame): void {
    if (!this.#isOver) this.#events.frames([frame]);
  }

  #subscribe({ id, channels }: SubscribeCommand): void {
    for (const entry of channels) {
      const { channel, since, keys, filter, params } =
        typeof entry === "string" ? ({ channel: entry } as Exclude<typeof entry, string>) : entry;
      // What the edge does by HTTP it does for whole channels: a view of one waits for a WebSocket.
      if (filter !== undefined || params?.depth !== undefined) {
        this.#cannot(id, "filters and views", { channel, retryAfterMs: RETRY_AFTER_MS });
        continue;
      }
      this.#wanted.set(channel, { id, keys: keys && new Set(keys), cursor: since });
    }
    this.#begin();
  }

  /** Begins the next round with the channels of this moment, one task later, so that many changes make one request. */
  #begin(): void {
    clearTimeout(this.#restart);
    if (this.#isOver) return;
    this.#restart = setTimeout(() => {
      this.#running?.abort();
      const round = new AbortController();
      this.#running = round;
      const channels = this.isGreeting ? [GREETING_CHANNEL] : [...this.#wanted.keys()];
      if (channels.length === 0) return;
      this.#round(this, round.signal, channels).catch(() => {
        if (!round.signal.aborted) this.end({});
      });
    });
  }

  /** A frame of the edge's as the core expects it: an answer under its request's id, a repeated answer as its messages. */
  #native(frame: ServerFrame): ServerFrame[] {
    // Whatever comes proves the token, and that answers get through.
    if (this.isGreeting) this.greeted(frame.type === "connected" ? frame : {});
    if (frame.type === "connected") return [];
    if (!("channel" in frame) || frame.channel === undefined) return [frame];
    const wanted = this.#wanted.get(frame.channel);
    if (!wanted) return [];
    const id = wanted.id;
    if (frame.type === "error") {
      this.#wanted.delete(frame.channel);
      return [{ ...frame, id }];
    }
    if (frame.type === "message") return wanted.keys && !wanted.keys.has(frame.key ?? "") ? [] : [frame];
    if (frame.type !== "subscribed") return [frame];
    wanted.id = undefined;
    return id === undefined ? this.#repeated(frame) : [{ ...frame, id }];
  }

  #repeated({ channel, class: kind, messages, position, recovered }: SubscribedFrame): ServerFrame[] {
    return !isLossy(kind) && !recovered && position !== undefined
      ? [{ type: "reset", channel, position: before(messages, channel, position), reason: "history_lost" }, ...messages]
      : messages;
  }

  async #refused(answer: Response): Promise<void> {
    const retryAfter = Number(answer.headers.get("retry-after"));
    const body = (await answer.json().catch(() => undefined)) as { error?: { code: ErrorCode; message: string } } | undefined;
    const { code, message } = body?.error ?? { code: undefined, message: "" };
    // Not a matter of the channels, or of all that pass through here.
    if (!code || ![403, 404].includes(answer.status)) {
      return this.end({ status: answer.status, ...(retryAfter > 0 && { retryAfterMs: retryAfter * 1_000 }) });
    }
    if (this.isGreeting) return this.greeted();
    this.emit([...this.#wanted.keys()].map((channel) => ({ type: "error", channel, code, message, retryable: false })));
  }

  #base(): string {
    const url = new URL(this.#dial.url);
    return `${url.protocol.replace("ws", "http")}//${url.host}${url.pathname.replace(/\/ws(\/[^/]*)?\/?$/, "")}`;
  }
}

/** A reset comes before what is left of the history, so it counts from just before that. */
export function before(messages: readonly MessageFrame[], channel: string, position: Position): Position {
  const [epoch, offset] = messages.find((message) => message.channel === channel)?.position?.split("-") ?? [];
  return epoch === undefined ? position : `${epoch}-${Number(offset) - 1}`;
}

/** What a token says of itself; nothing is verified here. */
function claims(token = ""): Pick<ConnectedFrame, "userId" | "expiresAt"> {
  try {
    const payload = token.split(".")[1] as string;
    const { sub, exp } = JSON.parse(atob(payload.replace(/-/g, "+").replace(/_/g, "/"))) as { sub: string; exp?: number };
    return { userId: sub, expiresAt: exp && exp * 1_000 };
  } catch {
    return { userId: "" };
  }
}
