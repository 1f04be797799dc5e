/**
 * Live, ordered, recoverable data from Tickwire. {@link Tickwire} is the client; `@tickwire/client/react` has the hooks,
 * `@tickwire/client/msgpack` the binary codec.
 *
 * @packageDocumentation
 */
export { type BookLevel, type BookUpdate, OrderBook, viewDepth } from "./book.js";
export { type HistoryOptions, type PublishOptions, Tickwire, type TickwireEvents } from "./client.js";
export { BACKOFF, type Backoff } from "./core/backoff.js";
export { comparePositions } from "./core/position.js";
export { compareDecimals } from "./decimal.js";
export type { Report } from "./emitter.js";
export { type Failure, TickwireError, type TickwireErrorCode } from "./errors.js";
export * from "./legacy/integration-manager.js";
export { type UpdatePriority, UpdateQueue } from "./legacy/update-queue.js";
export { WebSocketClient } from "./legacy/websocket-client.js";
export * from "./legacy/websocket-service.js";
export type { TickwireOptions } from "./options.js";
export type { ChannelTypes, DataOf } from "./payloads.js";
export type { ConnectionState, ConnectionStatus, DisconnectReason } from "./state.js";
export type {
  Message,
  PolledMessage,
  PollFallback,
  SubscribeOptions,
  Subscription,
  SubscriptionEvents,
  SubscriptionStatus,
} from "./subscription.js";
export { longPolling } from "./transport/polling.js";
export { serverSentEvents } from "./transport/sse.js";
export type { Codec, Dial, Link, LinkEnd, LinkEvents, Transport, WebSocketLike } from "./transport/transport.js";
export { json, webSocket } from "./transport/websocket.js";
export type * from "./wire.gen.js";
