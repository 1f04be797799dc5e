import { standIn } from "./app-poll.js";
import { CURRENT, type Effect, type Line, NEVER, NEXT } from "./core/effect.js";
import { Session } from "./core/session.js";
import { Emitter } from "./emitter.js";
import { TickwireError } from "./errors.js";
import { type Settled, settle, type TickwireOptions } from "./options.js";
import type { DataOf } from "./payloads.js";
import type { ConnectionState } from "./state.js";
import { type SubscribeOptions, Subscription } from "./subscription.js";
import type { Dial, Link } from "./transport/transport.js";
import { listen } from "./wake.js";
import type {
  ClientCommand,
  HistoryFrame,
  MessageFrame,
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
  readonly #options: Settled;
  readonly #session: Session;
  readonly #events: Emitter<TickwireEvents>;
  readonly #links: [Link | undefined, Link | undefined] = [undefined, undefined];
  #state: ConnectionState = { status: "disconnected", reason: "closed_here" };
  #browser: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = NEVER;
  #isRunning = false;
  #hasBegun = false;
  #isDestroyed = false;

  constructor(options: TickwireOptions) {
    this.#options = settle(options);
    this.#session = new Session(this.#options);
    this.#events = new Emitter(this.#options.onListenerError);
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
    this.#assertUsable();
    this.#hasBegun = true;
    if (!this.#browser) {
      this.#browser = new AbortController();
      listen((event, isVisible) => this.#do((now) => this.#session[event](now, isVisible)), this.#browser.signal);
    }
    this.#do((now) => this.#session.start(now));
  }

  /** Closes the connection; subscriptions wait for the next `connect`. */
  disconnect(): void {
    this.#end(() => this.#session.stop("closed_here"));
  }

  /** Ends everything for good: subscriptions, calls, timers, listeners. */
  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#end(() => this.#session.destroy());
    clearTimeout(this.#timer);
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
    const { channels } = this.#session;
    const subscription = new Subscription<T>(channel, wanted.keys, this.#options.onListenerError, () =>
      this.#do((now) => this.#session.unsubscribe(now, channel, subscription)),
    );
    this.#do((now) => channels.add(now, channel, subscription, wanted, since));
    // One task later, so that its listeners are there.
    queueMicrotask(() => this.#do(() => channels.greet(channel, subscription, since)));
    if (pollFallback) {
      const position = () => channels.track(channel)?.position;
      const take = (messages: MessageFrame[]) => this.#do(() => channels.polled(channel, messages));
      standIn(pollFallback, subscription, position, take, this.#options.onListenerError);
    }
    this.#autoConnect();
    return subscription;
  }

  /** Publishes, in namespaces that allow it to clients. Repeated under its key until an answer comes. */
  publish(channel: string, data: unknown, { key, idempotencyKey = randomKey() }: PublishOptions = {}): Promise<PublishedFrame> {
    return this.#call({ type: "publish", channel, key, data, idempotencyKey });
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
    return (await this.#call<PreferencesFrame>({ type: "preferences", set: set as Record<string, unknown> })).preferences;
  }

  /** How long the edge takes to answer, milliseconds. */
  async ping(): Promise<number> {
    const begun = performance.now();
    await this.#call({ type: "ping" });
    return performance.now() - begun;
  }

  #assertUsable(): void {
    if (this.#isDestroyed) throw new TickwireError({ code: "disconnected" });
  }

  #autoConnect(): void {
    // Not after `disconnect` or an end: those are the app's to undo.
    if (this.#options.autoConnect !== false && !this.#hasBegun && !this.#isDestroyed) this.connect();
  }

  #end(input: () => void): void {
    this.#browser?.abort();
    this.#browser = undefined;
    this.#do(input);
  }

  async #call<Reply extends ServerFrame>(command: ClientCommand): Promise<Reply> {
    this.#assertUsable();
    return new Promise((resolve, reject) => {
      this.#do((now) => this.#session.call(now, command, { resolve: resolve as (reply: ServerFrame) => void, reject }));
      this.#autoConnect();
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
      case "deliver":
        for (const user of [...effect.to]) user.take(effect.name, effect.event);
        return;
      case "send":
        return this.#links[effect.line]?.send(effect.commands);
      case "state":
        this.#state = effect.state;
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
        this.#fetchToken();
    }
  }

  #dial({ line, url, transport, token }: Effect & { do: "dial" }): void {
    const { codec, fetch, WebSocket = globalThis.WebSocket as unknown as Dial["WebSocket"], transports } = this.#options;
    let link: Link | undefined;
    // A promoted link speaks for the other line; one that was dropped, for none.
    const told = (input: (now: number, line: Line) => void) => {
      const at = this.#links.indexOf(link);
      if (link && at >= 0) this.#do((now) => input(now, at as Line));
    };
    try {
      link = transports[transport]?.open(
        { url, token, codec, fetch, WebSocket },
        {
          open: () => told((now, on) => this.#session.opened(now, on)),
          frames: (frames) => told((now, on) => this.#session.frames(now, on, frames)),
          end: (end) =>
            told((now, on) => {
              this.#links[on] = undefined;
              this.#session.ended(now, on, end);
            }),
        },
      );
      this.#links[line] = link;
    } catch (error) {
      // An address that is none, or no WebSocket in this environment: nothing that trying again mends by itself.
      this.#options.onListenerError(error);
      this.#do((now) => this.#session.ended(now, line, { status: 400 }));
    }
  }

  async #fetchToken(): Promise<void> {
    let token: string | undefined;
    try {
      token = await this.#options.getToken?.();
    } catch (error) {
      this.#options.onListenerError(error);
    }
    this.#do((now) => this.#session.token(now, token));
  }

  #arm(): void {
    const at = this.#session.deadline();
    // A timer that fires too early costs nothing; one set anew with every message would.
    if (at >= this.#timerAt || this.#isDestroyed) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    const tick = () => {
      this.#timerAt = NEVER;
      this.#do((now) => this.#session.tick(now));
    };
    this.#timer = setTimeout(tick, Math.min(Math.max(0, at - performance.now()), TIMEOUT_MAX));
  }
}

/** Also where the page is not secure, and `randomUUID` missing. */
function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
