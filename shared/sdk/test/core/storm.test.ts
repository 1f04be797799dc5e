import { BACKOFF } from "@tickwire/client";
import { expect, test } from "vitest";
import { delay } from "../../src/core/backoff.js";

const CLIENTS = 10_000;
/** The server is away for this long after it dropped everyone, milliseconds: both policies have reached their longest delays. */
const OUTAGES = [20_000, 60_000];

/** A generator with a seed, so that a failure repeats. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** centrifuge-js's policy by its numbers: 500 ms and a jitter of up to 500 ms · 2ⁿ, 20 s at most. */
function centrifuge(attempt: number, roll: number): number {
  return Math.min(20_000, 500 + roll * Math.min(20_000, 500 * 2 ** Math.min(attempt, 31)));
}

/** Attempts in the busiest 100 ms from the end of the outage on, and when the 99th of a hundred clients is back. */
function storm(policy: (attempt: number, roll: number) => number, outage: number): { peak: number; p99: number } {
  const roll = random(7);
  const perSlot = new Map<number, number>();
  const back: number[] = [];
  for (let client = 0; client < CLIENTS; client += 1) {
    let now = 0;
    for (let attempt = 0; ; attempt += 1) {
      now += policy(attempt, roll());
      if (now < outage) continue;
      const slot = Math.floor(now / 100);
      perSlot.set(slot, (perSlot.get(slot) ?? 0) + 1);
      back.push(now - outage);
      break;
    }
  }
  back.sort((a, b) => a - b);
  return { peak: Math.max(...perSlot.values()), p99: back[Math.floor(0.99 * back.length)] as number };
}

test("after a drop of 10,000 clients the peak is at most half of that of centrifuge-js's policy", () => {
  const [ours, theirs] = [storm((n, roll) => delay(BACKOFF, n, roll), 0), storm(centrifuge, 0)];
  console.log("a drop without an outage", { ours, theirs });
  expect(ours.peak).toBeLessThanOrEqual(theirs.peak / 2);
});

test.each(OUTAGES)("after an outage of %i ms the p99 of coming back is at most half", (outage) => {
  const [ours, theirs] = [storm((n, roll) => delay(BACKOFF, n, roll), outage), storm(centrifuge, outage)];
  console.log(`an outage of ${outage} ms`, { ours, theirs });
  expect(ours.p99).toBeLessThanOrEqual(theirs.p99 / 2);
});

test.each([0, 1_000, 2_000, 3_000, 5_000, 20_000])(
  "after an outage of %i ms no policy could halve the peak and the p99",
  (outage) => {
    // A halved peak lets so few clients in that all of them take longer than half the time. So the first tries after a drop are
    // spread for the peak, and the later ones bounded for the p99.
    const theirs = storm(centrifuge, outage);
    const slots = Math.ceil(theirs.p99 / 2 / 100);
    expect((slots * theirs.peak) / 2).toBeLessThan(0.99 * CLIENTS);
  },
);
