/**
 * React hooks (18 and 19) over a {@link Tickwire} client: safe under StrictMode and on a server.
 *
 * @packageDocumentation
 */
export { type ChannelOptions, type ChannelState, useChannel, useLatest } from "./channel.js";
export {
  type Connection,
  TickwireProvider,
  type TickwireProviderProps,
  useTickwire,
  useWebSocketConnection,
} from "./provider.js";
