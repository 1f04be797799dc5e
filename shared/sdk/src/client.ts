import { AppPoll } from "./app-poll.js";
import { CURRENT, type Effect, type Line, NEXT, type Wanted } from "./core/effect.js";
import { Session } from "./core/session.js";
import { Emitter, reportUncaught } from "./emitter.js";
import { TickwireError } from "./errors.js";
import { addresses, dialOf, sessionOptions, type TickwireOptions, transportsOf } from "./options.js";
import type { DataOf } from "./payloads.js";
import { isSame, type Shared, widen } from "./share.js";
import type { ConnectionState } from "./state.js";
import { type SubscribeOptions, Subscription } from "./subscription.js";
import type { Link } from "./transport/transport.js";
import { listen } from "./wake.js";
import type {
  ClientCommand,
  HistoryFrame,
  Position,
  Preferences,
  PreferencesFrame,
  PresenceListFrame,
  PublishedFrame,
  ServerFrame,
} from "./wire.gen.js";

/** The longest delay that `setTimeout` takes. */
const TIMEOUT_MAX = 2 ** 31 - 1;

/** The events of a client by name. */
export interface TickwireEvents {
  /** The connection's state changed. */
  state: ConnectionState;
}

interface Pending {
  resolve(frame: ServerFrame): void;
  reject(error: TickwireError): void;
}

/** What `publish` takes beside channel and data. */
export interface PublishOptions {
  /** Of a `latest` channel. */
  key?: string;
  /** The same key within five minutes publishes nothing more. Default: a random one, so that a repetition never doubles. */
  idempotencyKey?: string;
}

/** What `history` takes beside the channel. */
export interface HistoryOptions {
  /** Exclusive. */
  since?: Position;
  limit?: number;
  /** Newest first. */
  reverse?: boolean;
}

/**
 * A client of a Tickwire edge. It does nothing before the first `connect`, `subscribe` or call, so that it can be made
 * anywhere: at module level, in a React tree, on a server.
 */
export class Tickwire {
  readonly #options: TickwireOptions;
  readonly #session: Session;
  readonly #events: Emitter<TickwireEvents>;
  readonly #report: (error: unknown) => void;
  readonly #links: [Link | undefined, Link | undefined] = [undefined, undefined];
  readonly #shared = new Map<string, Shared>();
  readonly #polls = new Map<Subscription<never>, AppPoll>();
  readonly #pending = new Map<number, Pending>();
  #state: ConnectionState = { status: "disconnected", reason: "closed_here" };
  #browser: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #isRunning = false;
  #hasBegun = false;
  #isDestroyed = false;
  #lastCall = 0;

  constructor(options: TickwireOptions) {
    this.#options = options;
    this.#session = new Session(sessionOptions(options, addresses(options)));
    this.#report = options.onListenerError ?? reportUncaught;
    this.#events = new Emitter(this.#report);
  }

  /** Where the connection stands: an immutable value, another one after each change. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** Adds a listener; the function returned takes it away. */
  on<Name extends keyof TickwireEvents>(name: Name, listener: (event: TickwireEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Connects, also after an end. Does nothing if it is connected or trying. */
  connect(): void {
    if (this.#isDestroyed) throw new TickwireError("disconnected", "the client was destroyed");
    this.#hasBegun = true;
    if (!this.#browser) {
      this.#browser = new AbortController();
      listen(
        {
          wake: () => this.#do((now) => this.#session.wake(now)),
          doubt: () => this.#do((now) => this.#session.doubt(now)),
          leave: () => this.#do(() => this.#session.leave()),
          visible: (visible) => this.#do((now) => this.#session.visible(now, visible)),
        },
        this.#browser.signal,
      );
    }
    this.#do((now) => this.#session.start(now));
  }

  /** Closes the connection; subscriptions wait for the next `connect`. */
  disconnect(): void {
    this.#browser?.abort();
    this.#browser = undefined;
    this.#do(() => this.#session.stop("closed_here"));
  }

  /** Ends everything for good: subscriptions, calls, timers, listeners. */
  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#browser?.abort();
    this.#do(() => this.#session.destroy());
    clearTimeout(this.#timer);
    for (const poll of this.#polls.values()) poll.stop();
    this.#polls.clear();
    this.#shared.clear();
    this.#events.clear();
  }

  /** Gives the connection new credentials without breaking it; without `token` they are fetched with `getToken`. */
  refreshToken(token?: string): void {
    this.#do((now) => this.#session.renew(now, token));
  }

  /**
   * Subscribes to a channel. Several subscriptions of one channel share one at the server, with the wider of their options.
   *
   * @throws {TickwireError} `conflict` if the channel is subscribed with another `filter`.
   */
  subscribe<C extends string, T = DataOf<C>>(channel: C, options: SubscribeOptions = {}): Subscription<T> {
    const { since, pollFallback, ...wanted } = options;
    const shared = this.#shared.get(channel);
    const wide = shared && widen(channel, shared.wanted, wanted);
    const leave = (it: Subscription<never>) => this.#leave(it);
    const subscription = new Subscription<T>(channel, wanted.keys, this.#report, leave);
    const user = subscription as unknown as Subscription<never>;
    if (shared && wide) this.#join(shared, wide, user, since);
    else {
      this.#shared.set(channel, { users: new Set([user]), wanted });
      this.#do((now) => this.#session.subscribe(now, channel, wanted, since));
    }
    if (pollFallback) {
      const poll = new AppPoll(pollFallback, channel, this.#report);
      poll.position = () => this.#session.channels.track(channel)?.position;
      poll.take = (messages) => this.#do(() => this.#session.channels.polled(channel, messages));
      this.#polls.set(user, poll);
      if (!this.#session.channels.isLive(channel)) poll.start();
    }
    if (this.#options.autoConnect !== false) this.#autoConnect();
    return subscription;
  }

  /** Publishes, in namespaces that allow it to clients. Repeated under its key until an answer comes. */
  publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<PublishedFrame> {
    const { key, idempotencyKey = randomKey() } = options;
    return this.#call({ type: "publish", channel, ...(key !== undefined && { key }), data, idempotencyKey });
  }

  /** Reads stored messages; fails with `unrecoverable_position` if `since` is not known. */
  history(channel: string, options: HistoryOptions = {}): Promise<HistoryFrame> {
    return this.#call({ type: "history", channel, ...options });
  }

  /** Who is there. */
  presence(channel: string): Promise<PresenceListFrame> {
    return this.#call({ type: "presence", channel });
  }

  /** Acknowledges inbox messages: moves the read cursor to a position, and settles critical messages one by one. */
  async ack(channel: string, position: Position | readonly Position[]): Promise<void> {
    const of = typeof position === "string" ? { position } : { positions: [...position] };
    await this.#call({ type: "ack", channel, ...of });
  }

  /** Reads the notification preferences, or replaces the fields given (`null` removes one), and answers with all of them. */
  async preferences(set?: { [Field in keyof Preferences]?: Preferences[Field] | null }): Promise<Preferences> {
    const frame = await this.#call<PreferencesFrame>({
      type: "preferences",
      ...(set && { set: set as Record<string, unknown> }),
    });
    return frame.preferences;
  }

  /** How long the edge takes to answer, milliseconds. */
  async ping(): Promise<number> {
    const begun = performance.now();
    await this.#call({ type: "ping" });
    return performance.now() - begun;
  }

  #autoConnect(): void {
    // Not after `disconnect` or an end: those are the app's to undo.
    if (!this.#hasBegun && !this.#isDestroyed) this.connect();
  }

  #join(shared: Shared, wide: Wanted, user: Subscription<never>, since: Position | undefined): void {
    const { channel } = user;
    shared.users.add(user);
    // A view begins with a snapshot, which only a new subscription brings.
    if (!isSame(wide, shared.wanted) || wide.params) {
      shared.wanted = wide;
      return this.#do((now) => this.#session.channels.change(now, channel, wide, since, this.#session.isReady));
    }
    const { channels } = this.#session;
    if (!channels.isLive(channel)) return;
    // One task later, so that its listeners are there.
    queueMicrotask(() => {
      const track = channels.track(channel);
      if (!track) return;
      user.take({ type: "subscribed", class: track.class, position: track.position, recovered: false, first: true });
      for (const message of track.values()) user.take({ type: "message", message, recovered: true });
      if (since !== undefined && since !== track.position) {
        user.take({ type: "gap", reason: "not_recovered", position: track.position });
      }
    });
  }

  #leave(user: Subscription<never>): void {
    this.#polls.get(user)?.stop();
    this.#polls.delete(user);
    const shared = this.#shared.get(user.channel);
    if (!shared?.users.delete(user) || shared.users.size > 0) return;
    this.#shared.delete(user.channel);
    this.#do((now) => this.#session.unsubscribe(now, user.channel));
  }

  #call<Reply extends ServerFrame>(command: ClientCommand): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#isDestroyed) return reject(new TickwireError("disconnected", "the client was destroyed"));
      this.#lastCall += 1;
      const call = this.#lastCall;
      this.#pending.set(call, { resolve: resolve as (frame: ServerFrame) => void, reject });
      this.#do((now) => this.#session.call(now, call, command));
      if (this.#options.autoConnect !== false) this.#autoConnect();
    });
  }

  /** Gives the core an input and carries out what follows, in order also where a listener calls back in. */
  #do(input: (now: number) => void): void {
    input(performance.now());
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let effects = this.#session.drain(); effects.length > 0; effects = this.#session.drain()) {
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#isRunning = false;
    }
    this.#arm();
  }

  #carryOut(effect: Effect): void {
    switch (effect.do) {
      case "deliver": {
        const shared = this.#shared.get(effect.channel);
        if (effect.event.type === "ended") this.#shared.delete(effect.channel);
        for (const user of shared ? [...shared.users] : []) {
          if (effect.event.type === "subscribed" || effect.event.type === "ended") this.#polls.get(user)?.stop();
          user.take(effect.event);
        }
        return;
      }
      case "send":
        return this.#links[effect.line]?.send(effect.commands);
      case "state":
        this.#state = effect.state;
        if (effect.state.status !== "connected") this.#pause();
        this.#events.emit("state", effect.state);
        return;
      case "dial":
        return this.#dial(effect);
      case "drop":
        this.#links[effect.line]?.close();
        this.#links[effect.line] = undefined;
        return;
      case "promote":
        this.#links[CURRENT] = this.#links[NEXT];
        this.#links[NEXT] = undefined;
        return;
      case "token":
        return this.#fetchToken();
      case "answer": {
        const pending = this.#pending.get(effect.call);
        this.#pending.delete(effect.call);
        if (effect.reply instanceof TickwireError) pending?.reject(effect.reply);
        else pending?.resolve(effect.reply);
      }
    }
  }

  #dial({ line, url, transport, token }: Effect & { do: "dial" }): void {
    const by = transportsOf(this.#options)[transport];
    const dial = { url, token, ...dialOf(this.#options) };
    let link: Link | undefined;
    // A promoted link speaks for the other line; one that was dropped, for none.
    const told = (input: (now: number, line: Line) => void) => {
      const at = this.#links.indexOf(link);
      if (link && at >= 0) this.#do((now) => input(now, at as Line));
    };
    try {
      link = by?.open(dial, {
        open: () => told((now, on) => this.#session.opened(now, on)),
        frames: (frames) => told((now, on) => this.#session.frames(now, on, frames)),
        end: (end) =>
          told((now, on) => {
            this.#links[on] = undefined;
            this.#session.ended(now, on, end);
          }),
      });
      this.#links[line] = link;
    } catch (error) {
      // An address that is none, or no WebSocket in this environment: nothing that trying again mends by itself.
      this.#report(error);
      this.#do((now) => this.#session.ended(now, line, { status: 400 }));
    }
  }

  #fetchToken(): void {
    const take = (token: string | undefined) => this.#do((now) => this.#session.token(now, token));
    Promise.resolve()
      .then(() => this.#options.getToken?.())
      .then(take, (error) => {
        this.#report(error);
        take(undefined);
      });
  }

  #pause(): void {
    for (const { users } of this.#shared.values()) for (const user of users) user.pause();
    for (const poll of this.#polls.values()) poll.start();
  }

  #arm(): void {
    const at = this.#session.deadline();
    // A timer that fires too early costs nothing; one set anew with every message would.
    if (at >= this.#timerAt || this.#isDestroyed) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    const tick = () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#do((now) => this.#session.tick(now));
    };
    this.#timer = setTimeout(tick, Math.min(Math.max(0, at - performance.now()), TIMEOUT_MAX));
  }
}

function randomKey(): string {
  const random = () => Math.random().toString(36).slice(2);
  return globalThis.crypto?.randomUUID?.() ?? `${Date.now().toString(36)}-${random()}${random()}`;
}
