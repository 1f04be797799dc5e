import type { Message, PositionUpdateData } from "@tickwire/client";
import { describe, expect, test } from "vitest";
import { claimsOf, isGranted } from "../src/lib/jwt";
import { channelOf, parts, quoteOf } from "../src/markets/quotes";
import { quantile, stagesOf } from "../src/operations/latency";
import { sort } from "../src/parts/table";
import { allowed } from "../src/session/commands";
import {
  happeningKey,
  lossUsed,
  pnlOf,
  portfolioPnl,
  positionsOf,
  profit,
  type SessionEvent,
  sessionOf,
  sessionsOf,
  standing,
  timeUsed,
  withStops,
  worth,
} from "../src/session/model";

const message = <T>(data: T, time: number): Message<T> => ({ channel: "c", data, time, recovered: false });
const event = (data: unknown, time = 0) => message(data as SessionEvent, time);
const status = (of: string, figures: object, time: number, id = "s") =>
  event({ type: "session_status", sessionId: id, status: of, data: figures }, time);

describe("a session", () => {
  test("is what its events say, newest figures first kept", () => {
    const view = sessionOf("s", [
      event({ type: "session_started", sessionId: "s", algorithmId: "a", limits: { lossLimit: "10" }, timestamp: 1 }, 1),
      status("active", { currentPnL: "5", totalTrades: 3 }, 2),
      status("paused", { currentPnL: "4" }, 3),
    ]);
    expect(view).toMatchObject({
      status: "paused",
      algorithm: "a",
      figures: { currentPnL: "4", totalTrades: 3 },
      startedAt: 1,
      time: 3,
    });
  });
  test("that runs comes before those that ended", () => {
    const views = sessionsOf([
      status("completed", {}, 9, "old"),
      status("active", {}, 1, "now"),
      status("paused", {}, 5, "held"),
    ]);
    expect(views.map(({ id }) => id)).toEqual(["now", "held", "old"]);
  });
  test("whose emergency stop came to the inbox has ended, whatever its channel said last", () => {
    const views = withStops(
      [...sessionsOf([status("active", {}, 9, "cut"), status("paused", {}, 5, "held")])],
      new Set(["cut"]),
    );
    expect(views.map(({ id, status }) => [id, status])).toEqual([
      ["held", "paused"],
      ["cut", "emergency_stopped"],
    ]);
    expect(withStops(views, new Set(["cut"]))).toBe(views);
  });
  test("draws one point a second", () => {
    const points = pnlOf([
      status("active", { currentPnL: "1" }, 1_000),
      status("active", { currentPnL: "2" }, 1_900),
      status("active", {}, 2_000),
    ]);
    expect(points).toEqual([{ time: 1, value: 2 }]);
  });
  test("uses up its time by the clock, paused or not, until it is over", () => {
    const begun = event(
      {
        type: "session_started",
        sessionId: "s",
        limits: { lossLimit: "1000.00", timeLimitMs: 3_600_000 },
        timestamp: 1_000_000,
      },
      1_000_000,
    );
    const active = status("active", { timeElapsed: 60_000, lossLimitUtilization: 0.5 }, 1_060_000);
    const view = sessionOf("s", [begun, active]);
    expect(lossUsed(view)).toEqual({ share: 0.5, text: "50% of 1,000.00" });
    expect(timeUsed(view, 1_090_000)).toEqual({ share: 0.025, text: "1 min of 1 h" });
    expect(timeUsed(view, 0), "a clock that is slow takes nothing back").toMatchObject({ share: 60_000 / 3_600_000 });
    expect(timeUsed(sessionOf("s", [begun, active, status("paused", {}, 1_070_000)]), 1_720_000)).toMatchObject({ share: 0.2 });
    const over = sessionOf("s", [begun, active, status("emergency_stopped", { timeElapsed: 61_000 }, 1_061_000)]);
    expect(timeUsed(over, 9_000_000)).toEqual({ share: 61_000 / 3_600_000, text: "1 min of 1 h" });
  });
  test("without limits has no share of any", () => {
    expect(timeUsed(sessionOf("s", [status("active", { timeElapsed: 90_000 }, 1)]), 5)).toEqual({
      share: undefined,
      text: "1 min, no limit",
    });
    expect(timeUsed(sessionOf("s", []), 5).text).toBe("–");
    expect(lossUsed(sessionOf("s", [status("active", { lossLimitUtilization: 0.25 }, 1)])).text).toBe("25%");
  });
  test("that is summed up ends as its summary says", () => {
    const summary = { status: "expired", finalPnL: "-3.20", totalTrades: 4, durationMs: 5_000 };
    const done = (of: object) => event({ type: "session_completed", sessionId: "s", summary: of }, 9);
    expect(sessionOf("s", [status("active", { currentPnL: "1" }, 1), done(summary)])).toMatchObject({
      status: "expired",
      figures: { currentPnL: "-3.20", totalTrades: 4, timeElapsed: 5_000 },
    });
    expect(sessionOf("s", [done({ status: "nonsense" })]).status).toBe("completed");
  });
  test("keeps what happened for longer than its figures", () => {
    const figures = [1_000, 9_999, 10_000].map((timestamp) =>
      happeningKey({ ...status("active", {}, 1).data, timestamp } as SessionEvent),
    );
    expect(new Set(figures).size).toBe(2);
    const decided = (reasoning: string) => happeningKey({ type: "algorithm_decision", reasoning } as unknown as SessionEvent);
    expect(decided("a")).not.toBe(decided("b"));
  });
  test("that was only created is not started, whatever its record calls it", () => {
    expect(standing(sessionOf("s", [status("paused", {}, 1)]))).toBe("not_started");
    expect(standing(sessionOf("s", [status("paused", { timeElapsed: 5 }, 1)]))).toBe("paused");
  });
  test("that is over takes no command", () => {
    expect(allowed("completed")).toEqual([]);
    expect(allowed("active")).toContain("emergency-stop");
    expect(allowed(undefined)).toContain("emergency-stop");
    expect(allowed("paused")).toContain("resume");
    expect(allowed("paused", false)).toContain("start");
  });
});

describe("positions", () => {
  const position = (symbol: string, unrealizedPnL: string, time: number, sessionId?: string) =>
    message(
      { type: "position_update", symbol, unrealizedPnL, realizedPnL: "0.1", quantity: "1", sessionId } as PositionUpdateData,
      time,
    );
  const all = [position("A", "1", 1_000), position("A", "-0.2", 2_000), position("B", "0.3", 3_000, "s")];
  test("count once each, by their newest message", () => {
    expect(positionsOf(all)).toHaveLength(2);
    expect(positionsOf(all, "s").map(({ data }) => data.symbol)).toEqual(["B"]);
    expect(profit(positionsOf(all))).toEqual({ realised: "0.2", unrealised: "0.1", total: "0.3" });
  });
  test("make the portfolio's curve", () => {
    expect(portfolioPnl(all).map(({ value }) => Number(value.toFixed(2)))).toEqual([1.1, -0.1, 0.3]);
  });
  test("are worth exactly quantity times price", () => {
    expect([worth("0.1", "0.2"), worth("-2", "3.50"), worth("x", "1"), worth("0", "-5")]).toEqual(["0.02", "-7.00", "0", "0"]);
  });
});

describe("a quote", () => {
  test("has a channel by its form", () => {
    expect(channelOf("BTC/USDT")).toBe("prices:BTC/USDT");
    expect(channelOf("binance:BTC/USDT")).toBe("ticker:binance:BTC/USDT");
    expect(parts("BTC/USDT:USDT")).toEqual({ exchange: undefined, symbol: "BTC/USDT:USDT" });
    expect(parts("okx:BTC/USDT:USDT")).toEqual({ exchange: "okx", symbol: "BTC/USDT:USDT" });
  });
  test("moves against the price before, and keeps its way while the price stands", () => {
    const first = quoteOf("a", { data: { last: "10" }, time: 1 }, undefined);
    const up = quoteOf("a", { data: { last: "11", open24h: "10" }, time: 2 }, first);
    expect([first.moved, up.moved, quoteOf("a", { data: { last: "11" }, time: 3 }, up).moved]).toEqual(["flat", "up", "up"]);
    expect(up.change).toBeCloseTo(0.1);
  });
  test("of anything is no crash", () => {
    for (const data of [null, 1, "x", [], {}]) expect(quoteOf("a", { data, time: 1 }, undefined).last).toBeUndefined();
  });
});

test("stages of a message are told where their stamps are", () => {
  expect(stagesOf({ emit: 100, backplane: 101, edge: 103 }, 110)).toEqual([1, 2, 7, 10]);
  expect(stagesOf({ emit: 100, edge: 99 }, 110)).toEqual([undefined, undefined, 11, 10]);
  expect([quantile([3, 1, 2], 0.5), quantile([], 0.5)]).toEqual([2, undefined]);
});

test("a token is read, and what is none is refused", () => {
  const body = Buffer.from(JSON.stringify({ sub: "é", roles: ["desk", 1], exp: 2 })).toString("base64url");
  expect(claimsOf(`x.${body}.y`)).toEqual({ user: "é", roles: ["desk"], grants: [], expiresAt: 2_000 });
  for (const bad of ["", "x", "a.b.c", `x.${Buffer.from("{}").toString("base64url")}.y`]) expect(claimsOf(bad)).toBeUndefined();
});

test("a table sorts stably, and what has no value comes last", () => {
  const columns = [{ id: "n", title: "n", cell: () => null, sortBy: (row: { n?: number }) => row.n }];
  const rows = [{ n: 1 }, {}, { n: 3 }];
  expect(sort(rows, columns, { column: "n", descending: true })).toEqual([{ n: 3 }, { n: 1 }, {}]);
  expect(sort(rows, columns, { column: "n", descending: false })).toEqual([{ n: 1 }, { n: 3 }, {}]);
  expect(sort(rows, columns, undefined)).toBe(rows);
});

test("a token's patterns grant as the server reads them", () => {
  expect(isGranted(["session:*"], "session:a:b")).toBe(true);
  expect(isGranted(["user:*:orders"], "user:7:orders")).toBe(true);
  expect(isGranted(["a.c"], "a.c")).toBe(true);
  expect(isGranted(["user:*:orders", "a.c", "strategy:1"], "user:7:x:orders")).toBe(false);
  expect(isGranted(["a.c", "strategy:1"], "abc")).toBe(false);
  expect(isGranted([], "session:1")).toBe(false);
});
