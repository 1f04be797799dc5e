import { BACKOFF, type Backoff } from "./core/backoff.js";
import { type Report, reportUncaught } from "./emitter.js";
import type { Codec, Dial, Transport } from "./transport/transport.js";
import { json, webSocket } from "./transport/websocket.js";

/** What a client is made of. Times are milliseconds. */
export interface TickwireOptions {
  /** The edge, such as `wss://edge.example/ws`; a path such as `/ws` means the page's own host. */
  url?: string;
  /** Several edges: each attempt takes the next one. Edges that the cluster names itself are tried before them. */
  urls?: readonly string[];
  /** A token that is used as long as it is accepted. */
  token?: string;
  /**
   * Gets a token: at the first connect, before the last one ends, and after one was refused. One call at a time; three
   * refusals in a row end the client with `unauthenticated`.
   */
  getToken?: () => string | Promise<string>;
  /** Ways to reach the edge, best first: `[webSocket, serverSentEvents, longPolling]`. Default: `[webSocket]`. */
  transports?: readonly Transport[];
  /** How frames are written on a WebSocket. Default: JSON. */
  codec?: Codec;
  backoff?: Partial<Backoff>;
  /** Attempts in a row before the client gives up. Default: endless. */
  attempts?: number;
  /** How long opening a link, and then its greeting, may take. Default 10,000. */
  connectTimeout?: number;
  /** How long an answer may take while connected. Default 10,000. */
  callTimeout?: number;
  /** How long a call waits for a connection. Default 30,000. */
  offlineTimeout?: number;
  /** Calls that may wait for an answer; beyond it they fail with `queue_full`. Default 256. */
  queueMax?: number;
  /** The silence after which a foreground page asks whether the link lives; 3 s later a silent link is dead. Default 6,000. */
  pingAfter?: number;
  /** Names this device: it then has a read cursor of its own in the inbox. */
  device?: string;
  /** Messages a second at most from all `latest` channels together. */
  maxRate?: number;
  /** Whether the first subscription or call connects. Default true. */
  autoConnect?: boolean;
  /** Where listeners' exceptions go. Default: `reportError`. */
  onListenerError?: Report;
  /** For Node 20, which has none: `import WebSocket from "ws"`. */
  WebSocket?: Dial["WebSocket"];
  /** For the fallbacks. Default: the global one. */
  fetch?: typeof fetch;
  /** Decides the jitter; for tests. */
  random?: () => number;
}

/** The addresses, absolute. */
function addresses({ url, urls }: TickwireOptions): string[] {
  const all = urls ?? (url === undefined ? [] : [url]);
  if (all.length === 0) throw new TypeError("Tickwire needs `url` or `urls`");
  const page = globalThis.location?.href;
  return all.map((address) => {
    // On a server there is no page; the client is made there only for what is rendered, and never connects.
    const absolute = new URL(address, page ?? (address.startsWith("/") ? "http://localhost" : undefined));
    absolute.protocol = absolute.protocol.replace(/^http/, "ws");
    return absolute.href;
  });
}

/** The options with what they are where nothing is given. */
export type Settled = ReturnType<typeof settle>;

/** Fills in what is not given; what is given as `undefined` is not given. */
export function settle(options: TickwireOptions) {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as TickwireOptions;
  return {
    codec: json,
    attempts: Number.POSITIVE_INFINITY,
    connectTimeout: 10_000,
    callTimeout: 10_000,
    offlineTimeout: 30_000,
    queueMax: 256,
    pingAfter: 6_000,
    onListenerError: reportUncaught,
    fetch: ((...of) => globalThis.fetch(...of)) as typeof fetch,
    random: Math.random,
    ...given,
    urls: addresses(options),
    transports: options.transports?.length ? options.transports : [webSocket],
    backoff: { ...BACKOFF, ...options.backoff },
  };
}
