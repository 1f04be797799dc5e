import type { Tickwire } from "../client.js";
import { type MessageCallback, WebSocketService, type WebSocketServiceConfig } from "./websocket-service.js";

/** The earlier `WebSocketClient`: the {@link WebSocketService} under its other names. */
export class WebSocketClient {
  readonly #service: WebSocketService;

  constructor(config: string | WebSocketServiceConfig | Tickwire) {
    this.#service = new WebSocketService(typeof config === "string" ? { url: config } : config);
  }

  connect(): Promise<void> {
    return this.#service.connect();
  }

  disconnect(): void {
    this.#service.disconnect();
  }

  isConnected(): boolean {
    return this.#service.getConnectionStatus();
  }

  /** Calls `callback` for messages whose data has this `type`; `*` for all. */
  onMessage(type: string, callback: MessageCallback): void {
    this.#service.subscribe(type, callback);
  }

  offMessage(type: string, callback?: MessageCallback): void {
    this.#service.unsubscribe(type, callback);
  }

  /** See {@link WebSocketService.send}. */
  sendMessage(message: Parameters<WebSocketService["send"]>[0]): void {
    this.#service.send(message);
  }

  subscribe(channel: string, params?: Record<string, unknown>): void {
    this.#service.subscribeToChannel(channel, params);
  }

  unsubscribe(channel: string): void {
    this.#service.unsubscribeFromChannel(channel);
  }

  destroy(): void {
    this.#service.destroy();
  }
}
