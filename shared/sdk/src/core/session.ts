import { TickwireError } from "../errors.js";
import type { ConnectionState, DisconnectReason } from "../state.js";
import type { ClientCommand, ConnectedFrame, Position, ServerFrame } from "../wire.gen.js";
import { type Backoff, delay } from "./backoff.js";
import { Calls } from "./calls.js";
import { Channels } from "./channels.js";
import { CURRENT, type Effect, type Line, NEXT, type Outlet, type Wanted } from "./effect.js";
import { type LinkEnd, type Phase, type Verdict, verdict } from "./link.js";
import { Liveness } from "./liveness.js";
import { Route } from "./route.js";
import { TokenPlan } from "./token.js";

/**
 * A link that served this long proves that connecting works: the next failure starts the backoff anew. A server that takes links
 * and drops them at once is still left alone longer each time; one that goes away every few seconds is not.
 */
const STEADY_MS = 1_000;
/** A client woken by its browser tries again within this. */
const WAKE_MS = 250;
/** A browser that comes back may tell so before it tells of the links that broke meanwhile: so long after it, a loss is treated alike. */
const WOKEN_MS = 5_000;
const NEVER = Number.POSITIVE_INFINITY;
const LOST: Verdict = { next: "retry", reason: "link_lost" };

/** What the core needs of the client's options; times in milliseconds. */
export interface SessionOptions {
  /** Absolute, at least one. */
  readonly urls: readonly string[];
  /** The names of the transports, best first. */
  readonly transports: readonly string[];
  /** Whether another token can be had when one is refused. */
  readonly renews: boolean;
  readonly token: string | undefined;
  readonly backoff: Backoff;
  readonly attempts: number;
  readonly connectTimeout: number;
  readonly callTimeout: number;
  readonly offlineTimeout: number;
  readonly queueMax: number;
  /** The silence after which a visible page asks whether the link lives. */
  readonly pingAfter: number;
  /** Goes into every `connect` frame: `device`, `maxRate`. */
  readonly greeting: { readonly device?: string; readonly maxRate?: number };
  readonly random: () => number;
}

/** The link that is made beside the live one: a draining node, or a lesser transport, is left without a moment of deafness. */
interface Successor {
  transport: number;
  url: string;
  stage: "dialing" | "greeting" | "joining";
  until: number;
  connected?: ConnectedFrame;
}

/**
 * The client's protocol without I/O: inputs with the time of their arrival, effects to carry out in order (`drain`).
 *
 * - One link serves; a second one is made beside it only to replace it. Whatever ends a link, `judge` alone decides whether,
 *   when, where and with which token the next is made.
 * - A subscription outlives links; a call is answered exactly once.
 * - Inputs of a link that was dropped never come: the shell forgets it before it does anything else.
 */
export class Session implements Outlet {
  readonly #options: SessionOptions;
  readonly #channels: Channels;
  readonly #calls: Calls;
  readonly #route: Route;
  readonly #token: TokenPlan;
  #effects: Effect[] = [];
  #phase: Phase = { name: "idle" };
  #alive = new Liveness(0);
  #heartbeat = 25_000;
  #successor: Successor | undefined;
  /** When to begin a handover. */
  #leaveAt = NEVER;
  /** The handover is for a better transport, not away from a drain. */
  #climbs = false;
  #attempt = 0;
  /** The server's advice: not before this. */
  #advised: number | undefined;
  #resume: string | undefined;
  #visible = true;
  /** When the browser came back, until a loss has been laid to it. */
  #wokenAt = -NEVER;
  #lastId = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#channels = new Channels(this, options.backoff, options.callTimeout);
    this.#calls = new Calls(this, options.queueMax);
    this.#route = new Route(options.urls, options.transports.length);
    this.#token = new TokenPlan(options.token, options.renews);
  }

  push(...effects: Effect[]): void {
    this.#effects.push(...effects);
  }

  id(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  roll(): number {
    return this.#options.random();
  }

  /** Takes out what is to be done. */
  drain(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  get isReady(): boolean {
    return this.#phase.name === "ready";
  }

  get channels(): Channels {
    return this.#channels;
  }

  /** When to call `tick`, if nothing else happens. */
  deadline(): number {
    const phase = this.#phase;
    let at = Math.min(this.#calls.deadline(), this.#successor?.until ?? NEVER);
    if ("until" in phase) at = Math.min(at, phase.until);
    if (phase.name === "ready") {
      at = Math.min(
        at,
        this.#alive.deadline(this.#patience()),
        this.#leaveAt,
        this.#token.refreshAt,
        this.#channels.deadline(),
      );
    }
    return at;
  }

  /** Begins, or begins anew after an end. */
  start(now: number): void {
    if (this.#phase.name !== "idle") return;
    this.#attempt = 0;
    this.#token.forgive();
    this.#state({ status: "connecting" });
    this.#connect(now);
  }

  /** Ends; subscriptions stay for the next `start`. */
  stop(reason: DisconnectReason, code?: number): void {
    this.#resetLink();
    this.#phase = { name: "idle" };
    this.#calls.end(new TickwireError("disconnected", `the client is not connected: ${reason}`));
    const isCalm = reason === "closed_here" || reason === "closed_by_server";
    this.#state({ status: isCalm ? "disconnected" : "error", reason, ...(code && { code }) });
  }

  /** Ends everything for good. */
  destroy(): void {
    this.stop("closed_here");
    this.#channels.endAll(new TickwireError("disconnected", "the client was destroyed"));
  }

  subscribe(now: number, channel: string, wanted: Wanted, since: Position | undefined): void {
    this.#channels.add(channel, wanted, since);
    if (this.isReady) this.#channels.join(now, [channel]);
  }

  unsubscribe(now: number, channel: string): void {
    this.#channels.remove(channel);
    this.#finishHandover(now);
  }

  call(now: number, call: number, command: ClientCommand): void {
    const patience = this.isReady ? this.#options.callTimeout : this.#options.offlineTimeout;
    const request = this.#calls.add(call, command, now + patience);
    if (request && this.isReady) this.#send(CURRENT, request);
  }

  /** The token asked for; `undefined`: none could be had. */
  token(now: number, token: string | undefined): void {
    this.#token.take(token);
    if (this.#phase.name === "token") {
      if (token === undefined) this.#judge(now, LOST);
      else this.#connect(now);
    } else if (this.isReady && token !== undefined) {
      this.#send(CURRENT, { type: "refresh", id: this.id(), token });
    } else if (this.isReady) {
      this.#token.refreshAt = now + delay(this.#options.backoff, 2, this.roll());
    }
  }

  /** The app has new credentials. */
  renew(now: number, token: string | undefined): void {
    if (token !== undefined) this.token(now, token);
    else if (this.#token.ask()) this.push({ do: "token" });
  }

  opened(now: number, line: Line): void {
    const until = now + this.#options.connectTimeout;
    if (line === CURRENT && this.#phase.name === "dialing") this.#phase = { name: "greeting", until };
    else if (line === NEXT && this.#successor) Object.assign(this.#successor, { stage: "greeting", until });
    else return;
    const { greeting } = this.#options;
    const token = this.#token.value !== undefined && { token: this.#token.value };
    const resume = this.#resume !== undefined && { resume: this.#resume };
    this.#send(line, { type: "connect", id: this.id(), ...token, ...resume, ...greeting });
  }

  /** The frames of one packet. */
  frames(now: number, line: Line, frames: readonly ServerFrame[]): void {
    if (line === CURRENT) this.#alive.hear(now);
    for (const frame of frames) {
      if (line === CURRENT) this.#frame(now, frame);
      else if (this.#successor) this.#nextFrame(now, this.#successor, frame);
      // The successor took over in the middle of a packet.
      else this.#frame(now, frame);
    }
  }

  ended(now: number, line: Line, end: LinkEnd): void {
    if (line === NEXT) return this.#abandonHandover(now);
    const phase = this.#phase.name;
    if (phase !== "dialing" && phase !== "greeting" && phase !== "ready") return;
    const { next, reason } = verdict(end);
    if (end.retryAfterMs !== undefined) this.#advised = now + end.retryAfterMs;
    if (next === "retry" && this.#takeOver(now)) return;
    this.#judge(now, { next, reason }, end.code);
  }

  /** The browser says that the network or the page is back: a waiting client tries soon, a connected one makes sure. */
  wake(now: number): void {
    if (this.#phase.name === "waiting" && !this.#phase.advised) {
      this.#phase.until = Math.min(this.#phase.until, now + this.roll() * WAKE_MS);
    } else {
      this.#wokenAt = now;
      this.doubt(now);
    }
  }

  /** Something may have happened to the link. */
  doubt(now: number): void {
    if (this.isReady && this.#alive.doubt(now) === "ask") this.#ping();
  }

  /** The page is left: browsers cache none that has an open connection. `wake` brings it back. */
  leave(): void {
    if (this.#phase.name === "idle" || this.#phase.name === "waiting") return;
    this.#resetLink();
    this.#phase = { name: "waiting", until: NEVER, advised: false };
    this.#state({ status: "reconnecting", reason: "page_left", attempt: this.#attempt });
  }

  /** Whether the page is in the foreground. */
  visible(now: number, visible: boolean): void {
    this.#visible = visible;
    if (visible) this.wake(now);
  }

  tick(now: number): void {
    this.#calls.expire(now);
    if (this.#successor && this.#successor.until <= now) this.#abandonHandover(now);
    const phase = this.#phase;
    if (phase.name === "ready") return this.#tickReady(now);
    if (!("until" in phase) || phase.until > now) return;
    if (phase.name === "waiting") return this.#connect(now);
    if (!this.#takeOver(now)) this.#judge(now, LOST);
  }

  #tickReady(now: number): void {
    if (this.#token.refreshAt <= now) {
      this.#token.refreshAt = NEVER;
      if (this.#token.ask()) this.push({ do: "token" });
    }
    this.#channels.retry(now);
    if (this.#leaveAt <= now) this.#beginHandover(now);
    const health = this.#alive.check(now, this.#patience());
    if (health === "ask") this.#ping();
    if (health !== "dead") return;
    if (!this.#takeOver(now)) this.#judge(now, LOST);
  }

  /** A hidden page does not ask before the server has missed two of its heartbeats. */
  #patience(): number {
    return this.#visible ? this.#options.pingAfter : 2 * this.#heartbeat;
  }

  #ping(): void {
    this.#send(CURRENT, { type: "ping", id: this.id() });
  }

  #connect(now: number): void {
    if (this.#token.isMissing) {
      this.#phase = { name: "token", until: now + this.#options.offlineTimeout };
      if (this.#token.ask()) this.push({ do: "token" });
      return;
    }
    this.#phase = { name: "dialing", until: now + this.#options.connectTimeout };
    this.#dial(CURRENT, this.#route.url, this.#route.transport);
  }

  #dial(line: Line, url: string, transport: number): void {
    this.push({ do: "dial", line, url, transport, token: this.#token.value });
  }

  #frame(now: number, frame: ServerFrame): void {
    switch (frame.type) {
      case "connected":
        if (this.#phase.name === "greeting") this.#beReady(now, frame);
        return;
      case "subscribed":
        return this.#channels.subscribed(CURRENT, frame);
      case "message":
        if (!this.#channels.message(CURRENT, frame)) this.#channels.anew(now, frame.channel);
        return;
      case "reconnect":
        this.#advised = now + frame.afterMs;
        if (!this.#successor) this.#leaveAt = this.#advised;
        this.#climbs = false;
        return;
      case "refreshed":
        this.#token.plan(now, frame.expiresAt);
        return;
      case "error":
        return this.#refused(now, TickwireError.of(frame), frame.id);
      case "unsubscribed":
        if (frame.id === undefined) this.#grantEnded(frame.channel);
        return;
      default:
        if ("id" in frame && frame.id !== undefined) this.#reply(frame.id, frame);
        else if ("channel" in frame) this.#channels.event(CURRENT, frame);
    }
  }

  #reply(id: number, frame: ServerFrame): void {
    const asked = this.#calls.answer(id, frame);
    if (asked?.type !== "ack") return;
    const { position, positions } = asked;
    this.#channels.track(asked.channel)?.acknowledged(positions ?? (position === undefined ? [] : [position]));
  }

  #beReady(now: number, connected: ConnectedFrame): void {
    this.#phase = { name: "ready", since: now };
    this.#alive = new Liveness(now);
    this.#heartbeat = connected.heartbeatInterval;
    this.#advised = undefined;
    this.#resume = connected.resume;
    this.#token.accepted(now, connected);
    this.#route.worked();
    if (connected.nodes?.length) this.#route.learn(connected.nodes, this.#options.random);
    const climb = this.#route.climbIn();
    this.#climbs = climb !== undefined;
    this.#leaveAt = climb === undefined ? NEVER : now + climb;
    const { node, connectionId, userId } = connected;
    const transport = this.#options.transports[this.#route.transport] as string;
    this.#state({ status: "connected", transport, node, connectionId, userId });
    this.#channels.joinAll(now);
    const unanswered = this.#calls.unanswered();
    if (unanswered.length > 0) this.push({ do: "send", line: CURRENT, commands: unanswered });
  }

  #refused(now: number, error: TickwireError, id: number | undefined): void {
    if (this.#calls.answer(id, error) || this.#channels.refused(now, id, error)) return;
    if (this.isReady && error.channel !== undefined) {
      if (id === undefined && !error.retryable) this.#channels.end(error.channel, error);
      return;
    }
    // The reason of the close that follows.
    if (error.retryAfterMs !== undefined) this.#advised = now + error.retryAfterMs;
    if (error.code === "unauthenticated" || error.code === "token_expired") this.#token.spoil();
  }

  #grantEnded(channel: string): void {
    this.#channels.end(channel, new TickwireError("forbidden", "the grant for this channel has ended", { channel }));
  }

  /** Goes on after a link or an attempt ended. */
  #judge(now: number, { next, reason }: Verdict, code?: number): void {
    const phase = this.#phase;
    if (phase.name === "ready") {
      if (now - phase.since >= STEADY_MS) this.#attempt = 0;
    } else if (phase.name !== "token") this.#route.failed();
    this.#resetLink();
    if (next === "stop") return this.stop(reason, code);
    if (next === "token" && !this.#token.refuse()) return this.stop("unauthenticated", code);
    if (this.#attempt >= this.#options.attempts) return this.stop("attempts_exhausted", code);
    const isWoken = now - this.#wokenAt < WOKEN_MS;
    this.#wokenAt = -NEVER;
    const own = now + (isWoken ? WAKE_MS * this.roll() : delay(this.#options.backoff, this.#attempt, this.roll()));
    // The server spreads what it advises, so its advice replaces the own delay.
    const advised = this.#advised;
    const until = Math.max(advised ?? own, now);
    this.#advised = undefined;
    this.#attempt += 1;
    this.#route.nextUrl();
    this.#phase = { name: "waiting", until, advised: advised !== undefined };
    this.#state({ status: "reconnecting", reason, attempt: this.#attempt, retryInMs: until - now, ...(code && { code }) });
  }

  #resetLink(): void {
    this.#leaveAt = NEVER;
    this.#token.refreshAt = NEVER;
    this.push({ do: "drop", line: CURRENT });
    if (this.#successor) this.push({ do: "drop", line: NEXT });
    this.#successor = undefined;
    this.#channels.linkLost();
  }

  #beginHandover(now: number): void {
    this.#leaveAt = NEVER;
    if (this.#token.isMissing) {
      if (this.#token.ask()) this.push({ do: "token" });
      return this.#retryHandover(now);
    }
    if (!this.#climbs) this.#route.nextUrl();
    const transport = this.#climbs ? 0 : this.#route.transport;
    const { url } = this.#route;
    this.#successor = { url, transport, stage: "dialing", until: now + this.#options.connectTimeout };
    this.#dial(NEXT, url, transport);
  }

  #nextFrame(now: number, successor: Successor, frame: ServerFrame): void {
    switch (frame.type) {
      case "connected":
        if (successor.stage !== "greeting") return;
        successor.stage = "joining";
        successor.connected = frame;
        successor.until = now + this.#options.callTimeout;
        this.#channels.joinNext();
        return this.#finishHandover(now);
      case "subscribed":
        this.#channels.subscribed(NEXT, frame);
        return this.#finishHandover(now);
      case "message":
        if (!this.#channels.message(NEXT, frame)) this.#abandonHandover(now);
        return;
      case "unsubscribed":
        if (frame.id === undefined) this.#grantEnded(frame.channel);
        return this.#finishHandover(now);
      // It refuses a channel, or drains too: the old link still serves.
      case "error":
      case "reconnect":
        return this.#abandonHandover(now);
      default:
        if ("channel" in frame && (frame as { id?: number }).id === undefined) this.#channels.event(NEXT, frame);
    }
  }

  #finishHandover(now: number): void {
    if (this.#successor?.stage !== "joining" || this.#channels.areMoving()) return;
    this.#takeOver(now);
  }

  /** The successor becomes the link, however far it has come; the old link is left. False without a successor. */
  #takeOver(now: number): boolean {
    const successor = this.#successor;
    if (!successor) return false;
    this.#successor = undefined;
    this.push({ do: "drop", line: CURRENT }, { do: "promote" });
    this.#route.url = successor.url;
    this.#route.transport = successor.transport;
    this.#token.refreshAt = NEVER;
    this.#leaveAt = NEVER;
    this.#channels.takeOver();
    if (successor.stage === "joining") {
      this.#beReady(now, successor.connected as ConnectedFrame);
      return true;
    }
    this.#phase = { name: successor.stage, until: successor.until };
    this.#state({ status: "reconnecting", reason: "link_lost", attempt: this.#attempt, retryInMs: 0 });
    return true;
  }

  /** Gives the successor up and stays on the old link for as long as that lasts. */
  #abandonHandover(now: number): void {
    if (!this.#successor) return;
    this.#successor = undefined;
    this.push({ do: "drop", line: NEXT });
    this.#channels.stay(now);
    this.#retryHandover(now);
  }

  #retryHandover(now: number): void {
    const climb = this.#climbs ? this.#route.climbIn() : undefined;
    this.#leaveAt = now + (climb ?? delay(this.#options.backoff, Math.max(this.#attempt, 1), this.roll()));
  }

  #send(line: Line, command: ClientCommand): void {
    this.push({ do: "send", line, commands: [command] });
  }

  #state(state: ConnectionState): void {
    this.push({ do: "state", state });
  }
}
