import type { Message } from "@tickwire/client";
import { describe, expect, test } from "vitest";
import { cut } from "../src/lib/log";
import { type SessionEvent, sessionsOf } from "../src/session/model";
import { type AccountFigures, equityOf, type SessionRecord, withRecord, withRecords } from "../src/trading/records";

const record = (sessionId: string, more: Partial<SessionRecord>): SessionRecord => ({
  sessionId,
  userId: "7",
  algorithmId: "momentum",
  parameters: {},
  symbols: ["binance:BTC/USDT"],
  capital: "10000",
  limits: { lossLimit: "500" },
  status: "paused",
  createdAt: 1,
  updatedAt: 1,
  version: 1,
  ...more,
});

const status = (sessionId: string, of: string, time: number): Message<SessionEvent> => ({
  channel: "c",
  data: { type: "session_status", sessionId, status: of, data: {} } as unknown as SessionEvent,
  time,
  recovered: false,
});

describe("records of the session service", () => {
  test("complete what the events tell, and add what they do not", () => {
    const views = withRecords(sessionsOf([status("a", "active", 10)]), [
      record("a", { status: "active", startedAt: 5, updatedAt: 5 }),
      record("b", { updatedAt: 3 }),
    ]);
    expect(views).toMatchObject([
      { id: "a", status: "active", algorithm: "momentum", startedAt: 5, limits: { lossLimit: "500" } },
      { id: "b", status: "paused", startedAt: undefined, time: 3 },
    ]);
  });
  test("say the status only where they are newer than the last event", () => {
    const [view] = sessionsOf([status("a", "paused", 10)]);
    if (!view) throw new Error("no view");
    expect(withRecord(view, record("a", { status: "active", updatedAt: 9 })).status).toBe("paused");
    expect(withRecord(view, record("a", { status: "completed", updatedAt: 11 })).status).toBe("completed");
    expect(withRecord(view, undefined)).toBe(view);
  });
  test("know how a session ended whose events are gone", () => {
    const summary = { status: "expired", finalPnL: "-3.20", totalTrades: 4, durationMs: 60_000 };
    const ending = { at: 9, reason: "its time is over", summary };
    const [view] = withRecords([], [record("a", { status: "expired", ending })]);
    expect(view).toMatchObject({
      status: "expired",
      figures: { currentPnL: "-3.20", totalTrades: 4, timeElapsed: 60_000 },
      summary: { durationMs: 60_000 },
    });
  });
});

test("accounts are worth what their sessions' newest events say, exactly, or else what they said themselves", () => {
  const account = (sessionId: string, equity: string) => ({ sessionId, equity }) as AccountFigures;
  const views = sessionsOf([
    {
      channel: "c",
      data: {
        type: "session_status",
        sessionId: "a",
        status: "active",
        data: { currentPnL: "-0.1" },
      } as unknown as SessionEvent,
      time: 1,
      recovered: false,
    },
  ]);
  expect(equityOf([account("a", "1"), account("b", "0.30")], [record("a", {}), record("b", {})], views)).toBe("10000.20");
});

test("a log that is cut keeps the newest of each key", () => {
  const messages = Array.from({ length: 1_300 }, (_, index) => ({
    channel: "c",
    data: { key: index < 3 ? `rare-${index % 2}` : "common", index },
    time: index,
    recovered: false,
  }));
  const kept = cut(messages, ({ key }) => key);
  expect(kept.slice(0, 3).map(({ data }) => data.index)).toEqual([1, 2, 300]);
  expect(kept).toHaveLength(1_002);
  expect(cut(messages, undefined)).toHaveLength(1_000);
});
