import { type Failure, TickwireError } from "../errors.js";
import type { ClientCommand, ServerFrame } from "../wire.gen.js";
import { NEVER } from "./effect.js";

/** A request and who waits for its answer. */
export interface Call {
  readonly command: ClientCommand & { id: number };
  readonly deadline: number;
  resolve(reply: ServerFrame): void;
  reject(error: TickwireError): void;
}

/**
 * Requests without an answer. Each is answered exactly once: by the server, by its deadline, or when the client stops. All of
 * them may be repeated (a publish has a key), so they are sent again on every new link.
 */
export class Calls {
  readonly #byId = new Map<number | undefined, Call>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** False if too many wait: the call has failed. */
  add(call: Call): boolean {
    const hasRoom = this.#byId.size < this.#max;
    if (hasRoom) this.#byId.set(call.command.id, call);
    else call.reject(new TickwireError({ code: "queue_full", retryable: true }));
    return hasRoom;
  }

  /** Those to send on a new link, in their order. */
  unanswered(): ClientCommand[] {
    return [...this.#byId.values()].map(({ command }) => command);
  }

  /** Takes out the call that `id` answers. */
  take(id: number | undefined): Call | undefined {
    const call = this.#byId.get(id);
    this.#byId.delete(id);
    return call;
  }

  deadline(): number {
    let first = NEVER;
    for (const { deadline } of this.#byId.values()) first = Math.min(first, deadline);
    return first;
  }

  /** Ends those whose deadline is not after `until`. */
  end(until: number, failure: Failure): void {
    for (const [id, { deadline, reject }] of this.#byId) {
      if (deadline > until) continue;
      this.#byId.delete(id);
      reject(new TickwireError(failure));
    }
  }
}
