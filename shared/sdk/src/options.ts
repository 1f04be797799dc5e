import { BACKOFF, type Backoff } from "./core/backoff.js";
import type { SessionOptions } from "./core/session.js";
import type { Report } from "./emitter.js";
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
export function addresses({ url, urls }: TickwireOptions): string[] {
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

/** The transports, never none. */
export function transportsOf({ transports }: TickwireOptions): readonly Transport[] {
  return transports?.length ? transports : [webSocket];
}

/** What a dial needs beside address and token. */
export function dialOf(options: TickwireOptions): Omit<Dial, "url" | "token"> {
  const WebSocket = options.WebSocket ?? (globalThis.WebSocket as unknown as Dial["WebSocket"]);
  return { codec: options.codec ?? json, WebSocket, fetch: options.fetch ?? ((...of) => globalThis.fetch(...of)) };
}

const DEFAULTS = {
  attempts: Number.POSITIVE_INFINITY,
  connectTimeout: 10_000,
  callTimeout: 10_000,
  offlineTimeout: 30_000,
  queueMax: 256,
  pingAfter: 6_000,
  random: Math.random,
};

/** The core's part, with defaults. */
export function sessionOptions(options: TickwireOptions, urls: readonly string[]): SessionOptions {
  const { device, maxRate, token } = options;
  return {
    ...DEFAULTS,
    // What is given as `undefined` is not given.
    ...(Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<typeof DEFAULTS>),
    urls,
    transports: transportsOf(options).map((transport) => transport.name),
    renews: options.getToken !== undefined,
    token,
    backoff: { ...BACKOFF, ...options.backoff },
    greeting: { ...(device !== undefined && { device }), ...(maxRate !== undefined && { maxRate }) },
  };
}
