import type { Position } from "../wire.gen.js";

/** A position taken apart: offsets are dense inside an epoch. */
export interface Place {
  readonly epoch: number;
  readonly offset: number;
}

/** Reads `epoch-offset`; `undefined` for anything else. */
export function place(position: Position | undefined): Place | undefined {
  const dash = position?.indexOf("-") ?? -1;
  if (position === undefined || dash <= 0) return undefined;
  const epoch = Number(position.slice(0, dash));
  const offset = Number(position.slice(dash + 1));
  return Number.isSafeInteger(epoch) && Number.isSafeInteger(offset) ? { epoch, offset } : undefined;
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

/** As on the wire. */
export function text({ epoch, offset }: Place): Position {
  return `${epoch}-${offset}`;
}
