import type { Position } from "../wire.gen.js";

/** A position taken apart: offsets are dense inside an epoch. */
export interface Place {
  readonly epoch: number;
  readonly offset: number;
  /** As on the wire. */
  readonly text: Position;
}

/** Reads `epoch-offset`; `undefined` for anything else. */
export function place(text: Position | undefined): Place | undefined {
  const [epoch, offset] = text?.split("-").map(Number) ?? [];
  // False where one of them is missing or no number.
  return (epoch as number) >= 0 && (offset as number) >= 0 ? ({ epoch, offset, text } as Place) : undefined;
}

/** Negative if `a` stands before `b`. */
export function order(a: Place, b: Place): number {
  return a.epoch - b.epoch || a.offset - b.offset;
}

/** Compares two positions as they are on the wire: negative if `a` stands before `b`, `NaN` where one is none. */
export function comparePositions(a: Position, b: Position): number {
  const [left, right] = [place(a), place(b)];
  return left && right ? order(left, right) : Number.NaN;
}
