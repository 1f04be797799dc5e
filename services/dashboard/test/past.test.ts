import type { Message } from "@tickwire/client";
import { expect, test } from "vitest";
import type { SessionEvent } from "../src/session/model";
import { type Activity, withPast } from "../src/session/past";

const live = (data: object, time: number) =>
  ({ channel: "session:s", data, time, recovered: false }) as unknown as Message<SessionEvent>;
const fill = (number: number, at: number, order = 1) => ({ number, order, price: "10", quantity: "1", fee: "0.1", at });
const of = { sessionId: "s", userId: "7" };

test("what left the channel's history comes from the account, oldest first and once", () => {
  const activity: Activity = {
    orders: [{ number: 1, symbol: "binance:BTC/USDT", side: "buy" }],
    fills: [fill(1, 50), fill(2, 99), fill(3, 120), fill(4, 60, 9)],
    decisions: [
      { symbol: "binance:BTC/USDT", action: "buy", reasoning: "it rises", confidence: 0.5, price: "10", volume: "1", at: 40 },
    ],
  };
  // It was told a moment after it happened.
  const messages = [live({ type: "trade_executed", tradeId: "s-t2" }, 100), live({ type: "session_status", data: {} }, 101)];
  const all = withPast(messages, of, activity);
  expect(all.map(({ data, time }) => [data.type, "tradeId" in data ? data.tradeId : undefined, time])).toEqual([
    ["algorithm_decision", undefined, 40],
    ["trade_executed", "s-t1", 50],
    ["trade_executed", "s-t2", 100],
    ["session_status", undefined, 101],
  ]);
  expect(all[1]?.data).toMatchObject({ symbol: "binance:BTC/USDT", side: "buy", quantity: "1", fee: "0.1" });
});

test("without an account, or with an empty one, the messages are what there is", () => {
  const messages = [live({ type: "session_status", data: {} }, 1)];
  expect(withPast(messages, of, undefined)).toBe(messages);
  expect(withPast(messages, of, {})).toBe(messages);
});
