import type { ErrorCode, ErrorFrame } from "./wire.gen.js";

/**
 * Why something failed: a code of the server's, or one of the client's own:
 * `timeout` no answer in time · `disconnected` the client was stopped · `queue_full` too much waits for an answer ·
 * `unsupported` the transport in use cannot carry it, a
 * WebSocket could · `overflow` an iterator's consumer is too slow · `conflict` options of two users of one channel exclude each other.
 */
export type TickwireErrorCode = ErrorCode | "timeout" | "disconnected" | "queue_full" | "unsupported" | "overflow" | "conflict";

/** What a {@link TickwireError} is made of: an `error` frame, or what the client itself says. Its message is the code where none is given. */
export type Failure = Partial<Omit<ErrorFrame, "type" | "code">> & { code: TickwireErrorCode };

/** What every promise and every `error` event of this package fails with. */
export class TickwireError extends Error {
  override readonly name = "TickwireError";
  /** What kind. */
  readonly code: TickwireErrorCode;
  /** Whether the same may succeed later without being changed. */
  readonly retryable: boolean;
  /** When to try again, where the server said so. */
  readonly retryAfterMs: number | undefined;
  /** The channel concerned. */
  readonly channel: string | undefined;

  constructor({ code, message = code, retryable = false, retryAfterMs, channel }: Failure) {
    super(message);
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
    this.channel = channel;
  }
}
