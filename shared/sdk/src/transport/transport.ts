import type { LinkEnd } from "../core/link.js";
import type { ClientCommand, ServerFrame } from "../wire.gen.js";

export type { LinkEnd };

/** How frames are written on a WebSocket. */
export interface Codec {
  /** The WebSocket subprotocol that stands for it. */
  readonly protocol: string;
  /** One WebSocket message of commands. */
  encode(commands: readonly ClientCommand[]): string | Uint8Array<ArrayBuffer>;
  /** The frames of one WebSocket message; throws on anything else. */
  decode(message: string | ArrayBuffer): ServerFrame[];
}

/** The part of the browser's `WebSocket` that is used; `ws` fits. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

/** What a transport needs to open a link. */
export interface Dial {
  /** The address of the edge's WebSocket, `ws:` or `wss:`. */
  readonly url: string;
  readonly token: string | undefined;
  readonly codec: Codec;
  readonly WebSocket: new (url: string, protocols: string[]) => WebSocketLike;
  readonly fetch: typeof fetch;
}

/** What a link tells. Nothing more comes after `end` or after `Link.close`. */
export interface LinkEvents {
  open(): void;
  /** The frames of one packet, at least one. */
  frames(frames: readonly ServerFrame[]): void;
  end(end: LinkEnd): void;
}

/** An open connection, or the attempt to make one. */
export interface Link {
  send(commands: readonly ClientCommand[]): void;
  close(): void;
}

/** A way to reach an edge. */
export interface Transport {
  readonly name: string;
  open(dial: Dial, events: LinkEvents): Link;
}
