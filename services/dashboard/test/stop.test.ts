import { expect, test } from "vitest";
import { levelText } from "../src/session/risk";
import { type Stop, stepsOf } from "../src/session/stop";

const done = (stop: Stop | undefined) => stepsOf(stop).map(({ isDone }) => isDone);
const stop = (isDone: boolean, ...over: readonly boolean[]): Stop => ({
  reason: "",
  beganAt: 1,
  isDone,
  steps: (["stop_session", "flatten", "tell"] as const).map((step, index) => ({ step, isDone: over[index] ?? false })),
});

test("an emergency stop is as far as risk's journal says, in any order", () => {
  expect(done(undefined), "the session says itself that it is stopped").toEqual([true, false, false]);
  expect(done(stop(false, false, false, true))).toEqual([false, false, true]);
  expect(done(stop(false, true, true))).toEqual([true, true, false]);
  expect(done(stop(true, true, true, true))).toEqual([true, true, true]);
  const { steps: _, ...older } = stop(false);
  expect([done(older), done({ ...older, isDone: true })]).toEqual([
    [true, false, false],
    [true, true, true],
  ]);
});

test("values under watch read as their rule does", () => {
  expect(levelText("loss_limit", "0.8125")).toBe("81.25 %");
  expect(levelText("stale_market_data", "12")).toBe("12 s");
  expect(levelText("correlation", "0.9")).toBe("0.9");
});
