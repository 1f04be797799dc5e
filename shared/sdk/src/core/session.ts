import { TickwireError } from "../errors.js";
import type { Settled } from "../options.js";
import type { ConnectionState, DisconnectReason } from "../state.js";
import type { ClientCommand, ConnectedFrame, ServerFrame } from "../wire.gen.js";
import { delay } from "./backoff.js";
import { type Call, Calls } from "./calls.js";
import { Channels } from "./channels.js";
import { type Consumer, CURRENT, type Effect, type Line, NEVER, NEXT, type Outlet } from "./effect.js";
import { isFinal, type LinkEnd, type Phase, reasonOf } from "./link.js";
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

/** The link that is made beside the live one: a draining node, or a lesser transport, is left without a moment of deafness. */
interface Successor {
  readonly transport: number;
  readonly url: string;
  phase: Phase & { until: number };
  /** Set once it serves: its channels are joined then. */
  connected?: ConnectedFrame;
  isGivenUp?: boolean;
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
  readonly channels: Channels;
  readonly #options: Settled;
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

  constructor(options: Settled) {
    this.#options = options;
    this.channels = new Channels(this, options.backoff, options.callTimeout);
    this.#calls = new Calls(options.queueMax);
    this.#route = new Route(options.urls, options.transports.length);
    this.#token = new TokenPlan(options.token, !!options.getToken);
  }

  push(...effects: Effect[]): void {
    this.#effects.push(...effects);
  }

  send(line: Line, command: ClientCommand): number {
    const sent = this.#numbered(command);
    this.push({ do: "send", line, commands: [sent] });
    return sent.id;
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

  /** When to call `tick`, if nothing else happens. */
  deadline(): number {
    const phase = this.#phase;
    const at = Math.min(this.#calls.deadline(), this.#successor?.phase.until ?? NEVER);
    if (phase.name !== "ready") return Math.min(at, phase.until ?? NEVER);
    const alive = this.#alive.deadline(this.#patience());
    return Math.min(at, alive, this.#leaveAt, this.#token.refreshAt, this.channels.deadline());
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
    this.#calls.end(NEVER, { code: "disconnected", message: reason });
    this.#state({ status: reason.startsWith("closed") ? "disconnected" : "error", reason, code });
  }

  /** Ends everything for good. */
  destroy(): void {
    this.stop("closed_here");
    this.channels.endAll();
  }

  unsubscribe(now: number, channel: string, user: Consumer): void {
    this.channels.remove(channel, user);
    this.#finishHandover(now);
  }

  call(now: number, command: ClientCommand, answer: Pick<Call, "resolve" | "reject">): void {
    const isReady = this.#phase.name === "ready";
    const sent = this.#numbered(command);
    const deadline = now + (isReady ? this.#options.callTimeout : this.#options.offlineTimeout);
    const isTaken = this.#calls.add({ ...answer, command: sent, deadline });
    if (isTaken && isReady) this.push({ do: "send", line: CURRENT, commands: [sent] });
  }

  /** The token asked for; `undefined`: none could be had. */
  token(now: number, token: string | undefined): void {
    this.#token.take(token);
    const phase = this.#phase.name;
    if (phase === "token") {
      if (token === undefined) this.#judge(now, "link_lost");
      else this.#connect(now);
    } else if (phase === "ready") {
      if (token === undefined) this.#token.refreshAt = now + delay(this.#options.backoff, 2, this.roll());
      else this.send(CURRENT, { type: "refresh", token });
    }
  }

  /** The app has new credentials. */
  renew(now: number, token: string | undefined): void {
    if (token === undefined) this.#askToken();
    else this.token(now, token);
  }

  opened(now: number, line: Line): void {
    const phase = line === CURRENT ? this.#phase : this.#successor?.phase;
    if (phase?.name !== "dialing") return;
    phase.name = "greeting";
    phase.until = now + this.#options.connectTimeout;
    const { device, maxRate } = this.#options;
    this.send(line, { type: "connect", token: this.#token.value, resume: this.#resume, device, maxRate });
  }

  /** The frames of one packet. */
  frames(now: number, line: Line, frames: readonly ServerFrame[]): void {
    if (line === CURRENT) this.#alive.hear(now);
    const successor = this.#successor;
    for (const frame of frames) {
      if (line === NEXT && successor?.isGivenUp) return;
      // The successor may take over in the middle of a packet.
      this.#frame(now, this.#successor ? line : CURRENT, frame);
    }
  }

  ended(now: number, line: Line, end: LinkEnd): void {
    if (line === NEXT) return this.#abandonHandover(now);
    if (["idle", "waiting", "token"].includes(this.#phase.name)) return;
    if (end.retryAfterMs !== undefined) this.#advised = now + end.retryAfterMs;
    this.#lost(now, reasonOf(end), end.code);
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
    if (this.#phase.name === "ready" && this.#alive.doubt(now) === "ask") this.#ping();
  }

  /** The page is left: browsers cache none that has an open connection. `wake` brings it back. */
  leave(): void {
    if (this.#phase.name === "idle" || this.#phase.name === "waiting") return;
    this.#resetLink();
    this.#phase = { name: "waiting", until: NEVER };
    this.#state({ status: "reconnecting", reason: "page_left", attempt: this.#attempt });
  }

  /** Whether the page is in the foreground. */
  visible(now: number, visible: boolean): void {
    this.#visible = visible;
    if (visible) this.wake(now);
  }

  tick(now: number): void {
    this.#calls.end(now, { code: "timeout", retryable: true });
    if (this.#successor && this.#successor.phase.until <= now) this.#abandonHandover(now);
    const phase = this.#phase;
    if (phase.name === "ready") return this.#tickReady(now);
    if ((phase.until ?? NEVER) > now) return;
    if (phase.name === "waiting") this.#connect(now);
    else this.#lost(now, "link_lost");
  }

  #tickReady(now: number): void {
    if (this.#token.refreshAt <= now) {
      this.#token.refreshAt = NEVER;
      this.#askToken();
    }
    this.channels.retry(now);
    if (this.#leaveAt <= now) this.#beginHandover(now);
    const health = this.#alive.check(now, this.#patience());
    if (health === "ask") this.#ping();
    if (health === "dead") this.#lost(now, "link_lost");
  }

  /** A hidden page does not ask before the server has missed two of its heartbeats. */
  #patience(): number {
    return this.#visible ? this.#options.pingAfter : 2 * this.#heartbeat;
  }

  #ping(): void {
    this.send(CURRENT, { type: "ping" });
  }

  #numbered(command: ClientCommand): ClientCommand & { id: number } {
    this.#lastId += 1;
    return { ...command, id: this.#lastId };
  }

  #askToken(): void {
    if (this.#token.ask()) this.push({ do: "token" });
  }

  #connect(now: number): void {
    if (this.#token.isMissing) {
      this.#phase = { name: "token", until: now + this.#options.offlineTimeout };
      return this.#askToken();
    }
    this.#phase = this.#dial(now, CURRENT, this.#route.url, this.#route.transport);
  }

  #dial(now: number, line: Line, url: string, transport: number): Phase & { until: number } {
    this.push({ do: "dial", line, url, transport, token: this.#token.value });
    return { name: "dialing", until: now + this.#options.connectTimeout };
  }

  #frame(now: number, line: Line, frame: ServerFrame): void {
    switch (frame.type) {
      case "connected":
        this.#connected(now, line, frame);
        break;
      case "subscribed":
        this.channels.subscribed(line, frame);
        break;
      case "message":
        if (this.channels.message(line, frame)) return;
        if (line === NEXT) return this.#abandonHandover(now);
        return this.channels.anew(now, frame.channel);
      case "unsubscribed":
        if (frame.id === undefined) {
          this.channels.end(frame.channel, new TickwireError({ code: "forbidden", channel: frame.channel }));
        }
        break;
      case "reconnect":
        // A successor that drains, too: the old link still serves.
        if (line === NEXT) return this.#abandonHandover(now);
        this.#advised = now + frame.afterMs;
        if (!this.#successor) this.#leaveAt = this.#advised;
        this.#climbs = false;
        return;
      case "refreshed":
        return this.#token.plan(now, frame.expiresAt);
      case "error":
        if (line === NEXT) return this.#abandonHandover(now);
        return this.#refused(now, new TickwireError(frame), frame.id);
      default:
        if ("id" in frame) this.#reply(frame);
        else if ("channel" in frame) this.channels.event(line, frame);
        return;
    }
    this.#finishHandover(now);
  }

  #reply(frame: ServerFrame & { id?: number }): void {
    const call = this.#calls.take(frame.id);
    call?.resolve(frame);
    if (call?.command.type !== "ack") return;
    const { channel, positions, position } = call.command;
    this.channels.track(channel)?.acknowledged(positions ?? [position as string]);
  }

  #connected(now: number, line: Line, frame: ConnectedFrame): void {
    const successor = line === NEXT && this.#successor;
    if (!successor) {
      if (this.#phase.name === "greeting") this.#beReady(now, frame);
    } else if (!successor.connected) {
      successor.connected = frame;
      successor.phase.until = now + this.#options.callTimeout;
      this.channels.joinNext();
    }
  }

  #beReady(now: number, connected: ConnectedFrame): void {
    const { node, connectionId, userId, nodes } = connected;
    this.#phase = { name: "ready", since: now };
    this.#alive = new Liveness(now);
    this.#heartbeat = connected.heartbeatInterval;
    this.#advised = undefined;
    this.#resume = connected.resume;
    this.#token.accepted(now, connected);
    this.#route.worked();
    if (nodes?.length) this.#route.learn(nodes, this.#options.random);
    const climb = this.#route.climbIn();
    this.#climbs = climb < NEVER;
    this.#leaveAt = now + climb;
    const transport = this.#options.transports[this.#route.transport]?.name;
    this.#state({ status: "connected", transport, node, connectionId, userId });
    this.channels.joinAll(now);
    const commands = this.#calls.unanswered();
    if (commands.length > 0) this.push({ do: "send", line: CURRENT, commands });
  }

  #refused(now: number, error: TickwireError, id: number | undefined): void {
    const call = this.#calls.take(id);
    call?.reject(error);
    if (call || this.channels.refused(now, id, error)) return;
    if (this.#phase.name === "ready" && error.channel !== undefined) {
      if (id === undefined && !error.retryable) this.channels.end(error.channel, error);
      return;
    }
    // The reason of the close that follows.
    if (error.retryAfterMs !== undefined) this.#advised = now + error.retryAfterMs;
    if (error.code === "unauthenticated" || error.code === "token_expired") this.#token.spoil();
  }

  /** The link ended, or an attempt: a successor under way takes its place. */
  #lost(now: number, reason: DisconnectReason, code?: number): void {
    if (isFinal(reason) || reason === "unauthenticated" || !this.#takeOver(now)) this.#judge(now, reason, code);
  }

  /** Goes on after a link or an attempt ended. */
  #judge(now: number, reason: DisconnectReason, code?: number): void {
    const phase = this.#phase;
    if (phase.name === "ready") {
      if (now - phase.since >= STEADY_MS) this.#attempt = 0;
    } else if (phase.name !== "token") this.#route.failed();
    this.#resetLink();
    if (isFinal(reason) || (reason === "unauthenticated" && !this.#token.refuse())) return this.stop(reason, code);
    if (this.#attempt >= this.#options.attempts) return this.stop("attempts_exhausted", code);
    const isWoken = now - this.#wokenAt < WOKEN_MS;
    this.#wokenAt = -NEVER;
    const own = isWoken ? WAKE_MS * this.roll() : delay(this.#options.backoff, this.#attempt, this.roll());
    // The server spreads what it advises, so its advice replaces the own delay.
    const advised = this.#advised;
    const until = Math.max(advised ?? now + own, now);
    this.#advised = undefined;
    this.#attempt += 1;
    this.#route.nextUrl();
    this.#phase = { name: "waiting", until, advised: advised !== undefined };
    this.#state({ status: "reconnecting", reason, attempt: this.#attempt, retryInMs: until - now, code });
  }

  #resetLink(): void {
    this.#leaveAt = NEVER;
    this.#token.refreshAt = NEVER;
    this.#successor = undefined;
    this.push({ do: "drop", line: CURRENT }, { do: "drop", line: NEXT });
    this.channels.linkLost();
  }

  #beginHandover(now: number): void {
    this.#leaveAt = NEVER;
    if (this.#token.isMissing) {
      this.#askToken();
      return this.#retryHandover(now);
    }
    if (!this.#climbs) this.#route.nextUrl();
    const transport = this.#climbs ? 0 : this.#route.transport;
    const { url } = this.#route;
    this.#successor = { url, transport, phase: this.#dial(now, NEXT, url, transport) };
  }

  #finishHandover(now: number): void {
    if (this.#successor?.connected && !this.channels.areMoving()) this.#takeOver(now);
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
    this.channels.takeOver();
    if (successor.connected) this.#beReady(now, successor.connected);
    else {
      this.#phase = successor.phase;
      this.#state({ status: "reconnecting", reason: "link_lost", attempt: this.#attempt, retryInMs: 0 });
    }
    return true;
  }

  /** Gives the successor up and stays on the old link for as long as that lasts. */
  #abandonHandover(now: number): void {
    if (!this.#successor) return;
    this.#successor.isGivenUp = true;
    this.#successor = undefined;
    this.push({ do: "drop", line: NEXT });
    this.channels.stay(now);
    this.#retryHandover(now);
  }

  #retryHandover(now: number): void {
    const own = () => delay(this.#options.backoff, Math.max(this.#attempt, 1), this.roll());
    this.#leaveAt = now + (this.#climbs ? this.#route.climbIn() : own());
  }

  #state(state: ConnectionState): void {
    if (state.status !== "connected") this.channels.pause();
    this.push({ do: "state", state });
  }
}
