import { Tickwire } from "../client.js";
import { Emitter, reportUncaught } from "../emitter.js";
import type { TickwireOptions } from "../options.js";
import type { ConnectionState } from "../state.js";
import type { Message, Subscription } from "../subscription.js";

/** As the earlier service was configured. Times are milliseconds. */
export interface WebSocketServiceConfig extends Pick<TickwireOptions, "getToken" | "token" | "transports" | "WebSocket"> {
  /** May carry `?token=`, which then goes into the `connect` frame. */
  url: string;
  /** `bearer.<token>` among them is used as the token; others have no meaning any more. */
  protocols?: string | string[];
  /** The first delay's upper bound, and the base of the backoff. */
  reconnectInterval?: number;
  /** Default: endless. */
  maxReconnectAttempts?: number;
  /** The silence after which the link is asked for a sign of life. */
  heartbeatInterval?: number;
  /** How long connecting may take. */
  timeout?: number;
}

/** As the earlier service's handlers were. */
export interface WebSocketEventHandlers {
  onOpen?: () => void;
  onClose?: (state: ConnectionState) => void;
  onError?: (error: unknown) => void;
  onMessage?: (message: Message) => void;
  onReconnect?: (attempt: number) => void;
  onReconnectFailed?: () => void;
}

/** Gets what a message carries, and the message. */
export type MessageCallback = (data: never, message: Message) => void;

/** The earlier `WebSocketService` over a {@link Tickwire} client: messages are handed out by the `type` in their data. */
export class WebSocketService {
  readonly client: Tickwire;
  #handlers: WebSocketEventHandlers = {};
  readonly #byType = new Map<string, Set<MessageCallback>>();
  readonly #channels = new Map<string, Subscription<unknown>>();
  readonly #opened = new Emitter<{ settled: ConnectionState }>(reportUncaught);
  readonly #off: () => void;

  /** `config`, or a client that is shared with other code. */
  constructor(config: WebSocketServiceConfig | Tickwire) {
    this.client = config instanceof Tickwire ? config : new Tickwire(optionsOf(config));
    this.#off = this.client.on("state", (state) => this.#follow(state));
  }

  /** Settles when it is connected, or when it is known that it never will be. */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.getConnectionStatus()) return resolve();
      const off = this.#opened.on("settled", ({ status, reason }) => {
        off();
        if (status === "connected") resolve();
        else reject(new Error(`cannot connect: ${reason}`));
      });
      this.client.connect();
    });
  }

  disconnect(): void {
    this.client.disconnect();
  }

  /** Whether it is connected. */
  getConnectionStatus(): boolean {
    return this.client.state.status === "connected";
  }

  /** Where it stands, by name. */
  getConnectionState(): ConnectionState["status"] {
    return this.client.state.status;
  }

  /** Calls `callback` for messages whose data has this `type`, or with `*` for all. The function returned ends that. */
  subscribe(event: string, callback: MessageCallback): () => void {
    const callbacks = this.#byType.get(event) ?? new Set();
    this.#byType.set(event, callbacks.add(callback));
    return () => this.unsubscribe(event, callback);
  }

  /** Ends one callback, or all of an event. */
  unsubscribe(event: string, callback?: MessageCallback): void {
    const callbacks = this.#byType.get(event);
    if (callback) callbacks?.delete(callback);
    if (!callback || callbacks?.size === 0) this.#byType.delete(event);
  }

  /** Subscribes to a channel; its messages go to the callbacks of their type. A second time changes nothing. */
  subscribeToChannel(channel: string, params?: Record<string, unknown>): void {
    if (this.#channels.has(channel)) return;
    const subscription = this.client.subscribe<string, unknown>(channel, params && { params });
    this.#channels.set(channel, subscription);
    subscription.on("message", (message) => this.#hand(message));
    subscription.on("error", (error) => {
      this.#channels.delete(channel);
      this.#handlers.onError?.(error);
    });
  }

  unsubscribeFromChannel(channel: string): void {
    this.#channels.get(channel)?.unsubscribe();
    this.#channels.delete(channel);
  }

  /** Sends what earlier code sent: `subscribe`, `unsubscribe`, or a message with its `channel`, which is published. */
  send(message: { type?: string; channel?: string; topic?: string; data?: unknown; params?: Record<string, unknown> }): void {
    const channel = message.channel ?? message.topic;
    if (channel === undefined) throw new TypeError("a message needs a `channel`");
    if (message.type === "subscribe") this.subscribeToChannel(channel, message.params);
    else if (message.type === "unsubscribe") this.unsubscribeFromChannel(channel);
    else this.client.publish(channel, message.data ?? message).catch((error) => this.#handlers.onError?.(error));
  }

  /** Sets those given; the others stay. */
  setEventHandlers(handlers: WebSocketEventHandlers): void {
    this.#handlers = { ...this.#handlers, ...handlers };
  }

  /** Ends everything for good. */
  destroy(): void {
    this.#off();
    this.client.destroy();
    this.#byType.clear();
    this.#channels.clear();
    this.#handlers = {};
  }

  #follow(state: ConnectionState): void {
    const { onOpen, onClose, onError, onReconnect, onReconnectFailed } = this.#handlers;
    if (state.status === "connected") onOpen?.();
    if (state.status === "reconnecting") {
      if (state.attempt === 1) onClose?.(state);
      onReconnect?.(state.attempt ?? 1);
    }
    if (state.status === "disconnected") onClose?.(state);
    if (state.status === "error") {
      onError?.(new Error(state.reason));
      if (state.reason === "attempts_exhausted") onReconnectFailed?.();
    }
    if (["connected", "disconnected", "error"].includes(state.status)) this.#opened.emit("settled", state);
  }

  #hand(message: Message): void {
    this.#handlers.onMessage?.(message);
    const type = (message.data as { type?: string } | null)?.type ?? "message";
    for (const callback of [...(this.#byType.get(type) ?? []), ...(this.#byType.get("*") ?? [])]) {
      try {
        callback(message.data as never, message);
      } catch (error) {
        reportUncaught(error);
      }
    }
  }
}

function optionsOf(config: WebSocketServiceConfig): TickwireOptions {
  const url = new URL(config.url, globalThis.location?.href);
  const inUrl = url.searchParams.get("token");
  url.searchParams.delete("token");
  const inProtocols = [config.protocols ?? []].flat().find((protocol) => protocol.startsWith("bearer."));
  const token = config.token ?? inUrl ?? inProtocols?.slice("bearer.".length);
  const { getToken, transports, WebSocket, reconnectInterval: base, maxReconnectAttempts, heartbeatInterval, timeout } = config;
  return {
    url: url.href,
    ...(token && { token }),
    ...(getToken && { getToken }),
    ...(transports && { transports }),
    ...(WebSocket && { WebSocket }),
    ...(base !== undefined && { backoff: { base, firstMax: base } }),
    ...(maxReconnectAttempts !== undefined && { attempts: maxReconnectAttempts }),
    ...(heartbeatInterval !== undefined && { pingAfter: heartbeatInterval }),
    ...(timeout !== undefined && { connectTimeout: timeout }),
    autoConnect: false,
  };
}
