import type { Dial, WebSocketLike } from "@tickwire/client";
import { vi } from "vitest";
import type { ClientCommand, ServerFrame } from "../src/wire.gen.js";

type Asked<Type extends ClientCommand["type"]> = Extract<ClientCommand, { type: Type }>;

/** One WebSocket as its server sees it. */
export class FakeSocket implements WebSocketLike {
  binaryType = "";
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  /** Every command that came, in order. */
  readonly received: ClientCommand[] = [];
  isClosedByClient = false;
  readonly #edge: FakeEdge;

  constructor(
    edge: FakeEdge,
    readonly url: string,
    readonly protocols: string[],
  ) {
    this.#edge = edge;
  }

  send(data: string | Uint8Array): void {
    const parsed = JSON.parse(data as string) as ClientCommand | ClientCommand[];
    for (const command of Array.isArray(parsed) ? parsed : [parsed]) {
      this.received.push(command);
      this.#edge.answer(this, command);
    }
  }

  close(): void {
    this.isClosedByClient = true;
  }

  /** Completes the handshake. */
  open(): void {
    this.onopen?.({} as never);
  }

  /** Sends frames, more than one packed. */
  push(...frames: (ServerFrame | object)[]): void {
    this.onmessage?.({ data: JSON.stringify(frames.length === 1 ? frames[0] : frames) } as never);
  }

  /** Closes from the server's side. */
  end(code: number): void {
    this.onclose?.({ code } as never);
  }

  /** The commands of a type. */
  of<Type extends ClientCommand["type"]>(type: Type): Asked<Type>[] {
    return this.received.filter((command): command is Asked<Type> => command.type === type);
  }
}

/** A scriptable edge: what it answers by itself is switched on by `serve`. */
export class FakeEdge {
  readonly sockets: FakeSocket[] = [];
  /** What to do with each command; default: nothing. */
  answer: (socket: FakeSocket, command: ClientCommand) => void = () => {};
  readonly WebSocket: Dial["WebSocket"];

  constructor() {
    const edge = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(edge, url, protocols);
        edge.sockets.push(this);
        edge.opening(this);
      }
    };
  }

  /** What to do with a new socket; default: nothing. */
  opening: (socket: FakeSocket) => void = () => {};

  /** The newest socket. */
  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("nobody dialled");
    return socket;
  }

  /** Opens every socket, greets it, and answers subscriptions and pings; one task later, as a network does. */
  serve(subscribed: (channel: string, since: string | undefined) => object = () => ({})): void {
    this.opening = (socket) => void setTimeout(() => socket.open());
    this.answer = (socket, command) => void setTimeout(() => this.#answer(socket, command, subscribed));
  }

  #answer(
    socket: FakeSocket,
    command: ClientCommand,
    subscribed: (channel: string, since: string | undefined) => object,
  ): void {
    if (command.type === "connect") socket.push(connected(command.id));
    if (command.type === "ping") socket.push({ id: command.id, type: "pong", time: 1 });
    if (command.type !== "subscribe") return;
    for (const entry of command.channels) {
      const { channel, since } = typeof entry === "string" ? { channel: entry, since: undefined } : entry;
      const usual = { class: "reliable", position: since ?? "1-0", recovered: since !== undefined, messages: [] };
      socket.push({ id: command.id, type: "subscribed", channel, ...usual, ...subscribed(channel, since) });
    }
  }
}

export function connected(id: number | undefined, more: object = {}): object {
  const who = { connectionId: "c-1", userId: "7", node: "edge-a", time: 1_000_000, heartbeatInterval: 25_000 };
  return { id, type: "connected", ...who, ...more };
}

export function message(channel: string, position: string | undefined, data: unknown = {}, more: object = {}): object {
  return { type: "message", channel, ...(position && { position }), time: 1, data, ...more };
}

/** Lets everything happen that is due within `ms`. */
export async function pass(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}
