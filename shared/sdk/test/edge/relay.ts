import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** A TCP relay in front of an edge whose line can be cut, or go silent, and come back. */
export class Relay {
  port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;
  #isSilent = false;

  private constructor(target: number) {
    this.#server = createServer((client) => {
      this.#keep(client);
      if (this.#isCut) return void client.destroy();
      const edge = connect(target, "127.0.0.1");
      this.#keep(edge);
      this.#pass(client, edge);
      this.#pass(edge, client);
    });
  }

  static async to(target: number): Promise<Relay> {
    const relay = new Relay(target);
    relay.#server.listen(0, "127.0.0.1");
    await once(relay.#server, "listening");
    relay.port = (relay.#server.address() as { port: number }).port;
    return relay;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  /** Ends every connection and takes no new one. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Connections stay and carry nothing: a half-open line. */
  silence(): void {
    this.#isSilent = true;
  }

  heal(): void {
    this.#isCut = false;
    this.#isSilent = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #pass(from: Socket, to: Socket): void {
    from.on("data", (chunk) => {
      if (!this.#isSilent) to.write(chunk);
    });
    from.on("close", () => to.destroy());
  }
}
