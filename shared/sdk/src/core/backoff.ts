/**
 * Full-jitter exponential backoff, milliseconds. The first delay is uniform in `0..firstMax`, so that the clients of a node
 * that fell over spread at once; later ones are uniform in `min..min(max, base · 2ⁿ)`.
 */
export interface Backoff {
  readonly firstMax: number;
  readonly min: number;
  readonly base: number;
  readonly max: number;
}

/** What clients use unless told otherwise. */
export const BACKOFF: Backoff = { firstMax: 2_000, min: 250, base: 1_000, max: 10_000 };

/** The delay before attempt `attempt` (0 is the first) for a `roll` in `0..1`. */
export function delay({ firstMax, min, base, max }: Backoff, attempt: number, roll: number): number {
  if (attempt <= 0) return Math.min(firstMax, max) * roll;
  const top = Math.min(max, base * 2 ** Math.min(attempt, 30));
  const bottom = Math.min(min, top);
  return bottom + (top - bottom) * roll;
}
