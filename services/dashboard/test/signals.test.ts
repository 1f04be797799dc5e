import { expect, test } from "vitest";
import { isWaiting, type SignalMessage, signalsOf, withWaiting } from "../src/agents/signals";

const message = (data: SignalMessage["data"], time: number): SignalMessage => ({ channel: "c", data, time, recovered: false });
const update = (state: string, time: number, more: object = {}) =>
  message(
    {
      type: "strategy_update",
      strategyId: "s1",
      event: {
        type: "agent_signal",
        signalId: "a",
        agent: "sentinel",
        symbol: "binance:BTC/USDT",
        action: "buy",
        state,
        ...more,
      },
    },
    time,
  );

test("a signal stands as its last word says, and waits until it is answered or its time is over", () => {
  const asked = update("waiting", 1, { deadline: 100, confidence: 0.7 });
  const [waiting] = signalsOf([asked]);
  expect(waiting).toMatchObject({ id: "a", session: "s1", agent: "sentinel", state: "waiting", confidence: 0.7, time: 1 });
  expect(waiting && [isWaiting(waiting, 99), isWaiting(waiting, 100)]).toEqual([true, false]);
  const [answered] = signalsOf([update("executed", 5), asked]);
  expect(answered).toMatchObject({ state: "executed", time: 1 });
  expect(answered && isWaiting(answered, 50)).toBe(false);
});

test("other updates of a strategy are no signals, and signals come without a session too", () => {
  const other = message({ type: "strategy_update", strategyId: "s1", event: { type: "started" } }, 2);
  const alone = message({ type: "trading_signal", signalId: "b", agentId: "x", action: "sell", autonomy: "approval" }, 3);
  expect(signalsOf([other, alone])).toMatchObject([{ id: "b", session: undefined, agent: "x", state: "waiting" }]);
});

test("what a bot says waits is shown beside what was told, once", () => {
  const signal = {
    id: "a",
    agent: "sentinel",
    symbol: "binance:BTC/USDT",
    action: "buy",
    confidence: 0.7,
    reasoning: "it rises",
  };
  const waiting = [
    { session: "s1", of: { signal, state: "waiting", deadline: 100 } },
    { session: "s2", of: { signal, state: "waiting", deadline: 200 } },
  ];
  const all = withWaiting(signalsOf([update("executed", 5)]), waiting);
  expect(all).toMatchObject([
    { id: "a", session: "s2", said: "it rises", state: "waiting", deadline: 200, time: undefined },
    { id: "a", session: "s1", state: "executed" },
  ]);
});
