/**
 * React hooks (18 and 19) over a `Tickwire` client: safe under StrictMode and on a server.
 *
 * @packageDocumentation
 */
export { type OrderBookOptions, type OrderBookState, useOrderBook } from "./book.js";
export { type ChannelOptions, type ChannelState, useChannel, useLatest } from "./channel.js";
export type { InboxState, Notification } from "./inbox.js";
export { type MarketState, useRealTimeMarketData } from "./market.js";
export { type Notifications, useRealTimeNotifications } from "./notifications.js";
export { type PreferencesChange, type PreferencesState, useNotificationPreferences } from "./preferences.js";
export { type PresenceState, usePresence } from "./presence.js";
export {
  type Connection,
  TickwireProvider,
  type TickwireProviderProps,
  useTickwire,
  useWebSocketConnection,
} from "./provider.js";
export { type SessionState, useRealTimeSessionStatus } from "./session.js";
