import type { ErrorCode, ErrorFrame } from "./wire.gen.js";

/**
 * Why something failed: a code of the server's, or one of the client's own:
 * `timeout` no answer in time · `disconnected` the client was stopped · `queue_full` too much waits for an answer ·
 * `unsupported` the transport in use cannot carry it, a
 * WebSocket could · `overflow` an iterator's consumer is too slow · `conflict` options of two users of one channel exclude each other.
 */
export type TickwireErrorCode = ErrorCode | "timeout" | "disconnected" | "queue_full" | "unsupported" | "overflow" | "conflict";

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

  constructor(
    code: TickwireErrorCode,
    message: string,
    more: { channel?: string; retryable?: boolean; retryAfterMs?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.retryable = more.retryable ?? false;
    this.retryAfterMs = more.retryAfterMs;
    this.channel = more.channel;
  }

  /** That of an `error` frame. */
  static of(frame: ErrorFrame): TickwireError {
    return new TickwireError(frame.code, frame.message, frame);
  }
}
