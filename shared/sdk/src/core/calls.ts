import { TickwireError } from "../errors.js";
import type { ClientCommand, ServerFrame } from "../wire.gen.js";
import type { Outlet } from "./effect.js";

interface Call {
  readonly call: number;
  readonly command: ClientCommand;
  readonly deadline: number;
}

/**
 * Requests without an answer. Each is answered exactly once: by the server, by its deadline, or when the client stops. All of
 * them may be repeated (a publish has a key), so they are sent again on every new link.
 */
export class Calls {
  readonly #byId = new Map<number, Call>();
  readonly #out: Outlet;
  readonly #max: number;

  constructor(out: Outlet, max: number) {
    this.#out = out;
    this.#max = max;
  }

  /** The command to send under its id; `undefined` if too many wait, which is answered here. */
  add(call: number, command: ClientCommand, deadline: number): ClientCommand | undefined {
    if (this.#byId.size >= this.#max) {
      this.#answer(call, new TickwireError("queue_full", `${this.#max} requests wait for an answer`, { retryable: true }));
      return undefined;
    }
    const id = this.#out.id();
    const request = { ...command, id };
    this.#byId.set(id, { call, command: request, deadline });
    return request;
  }

  /** Those to send on a new link, in their order. */
  unanswered(): ClientCommand[] {
    return [...this.#byId.values()].map((call) => call.command);
  }

  /** Answers the call `id` if there is one, and gives what it asked. */
  answer(id: number | undefined, reply: ServerFrame | TickwireError): ClientCommand | undefined {
    const call = id === undefined ? undefined : this.#byId.get(id);
    if (!call) return undefined;
    this.#byId.delete(id as number);
    this.#answer(call.call, reply);
    return call.command;
  }

  deadline(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { deadline } of this.#byId.values()) first = Math.min(first, deadline);
    return first;
  }

  expire(now: number): void {
    for (const [id, call] of this.#byId) {
      if (call.deadline <= now) this.answer(id, new TickwireError("timeout", "no answer in time", { retryable: true }));
    }
  }

  /** Ends all. */
  end(error: TickwireError): void {
    for (const id of [...this.#byId.keys()]) this.answer(id, error);
  }

  #answer(call: number, reply: ServerFrame | TickwireError): void {
    this.#out.push({ do: "answer", call, reply });
  }
}
