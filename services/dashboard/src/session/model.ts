import type {
  AlgorithmDecisionData,
  Message,
  PositionUpdateData,
  RiskAlertData,
  SessionCompletedData,
  SessionFigures,
  SessionStartedData,
  SessionStatus,
  SessionStatusData,
  TradeExecutedData,
} from "@tickwire/client";
import { decimal, NOTHING, number, percent, span, sum } from "../lib/format";
import type { Point } from "../parts/chart";

export type SessionEvent =
  | SessionStartedData
  | SessionStatusData
  | SessionCompletedData
  | AlgorithmDecisionData
  | TradeExecutedData
  | RiskAlertData;

/** A trading session as its events tell it. */
export interface SessionView {
  readonly id: string;
  readonly status: SessionStatus | undefined;
  readonly figures: SessionFigures;
  readonly algorithm: string | undefined;
  /** What it trades, as far as a record tells. */
  readonly symbols: readonly string[];
  readonly limits: Readonly<Record<string, unknown>>;
  readonly summary: Readonly<Record<string, unknown>> | undefined;
  readonly startedAt: number | undefined;
  /** Of the newest event. */
  readonly time: number | undefined;
}

/** Nothing is known yet. */
export const blank = (id: string): SessionView => ({
  id,
  status: undefined,
  figures: {},
  algorithm: undefined,
  symbols: [],
  limits: {},
  summary: undefined,
  startedAt: undefined,
  time: undefined,
});

/** The view after an event. */
export function after(view: SessionView, data: SessionEvent, time: number): SessionView {
  switch (data.type) {
    case "session_started":
      return {
        ...view,
        status: "active",
        algorithm: data.algorithmId,
        limits: data.limits ?? {},
        startedAt: data.timestamp,
        time,
      };
    case "session_status":
      return { ...view, status: data.status, figures: { ...view.figures, ...data.data }, time };
    case "session_completed":
      return { ...concluded(view, data.summary), time };
    default:
      return { ...view, time };
  }
}

const isEnd = (status: unknown): status is SessionStatus =>
  status === "completed" || status === "expired" || status === "emergency_stopped";

/** The view of a session that is over and summed up: what the summary says is final. */
export function concluded(view: SessionView, summary: Readonly<Record<string, unknown>>): SessionView {
  const { status, finalPnL, totalTrades, durationMs } = summary;
  return {
    ...view,
    status: isEnd(status) ? status : "completed",
    summary,
    figures: {
      ...view.figures,
      ...(typeof finalPnL === "string" && { currentPnL: finalPnL }),
      ...(typeof totalTrades === "number" && { totalTrades }),
      ...(typeof durationMs === "number" && { timeElapsed: durationMs }),
    },
  };
}

/** Whether it ever ran: what was only created is kept as paused. */
export const hasStarted = ({ startedAt, figures }: SessionView) =>
  startedAt !== undefined || Boolean(figures.totalTrades) || Boolean(figures.timeElapsed);

/** Its status in one word for people. */
export const standing = (view: SessionView) => (view.status === "paused" && !hasStarted(view) ? "not_started" : view.status);

/** A share of a limit, and the words for it. */
export interface Usage {
  readonly share: number | undefined;
  readonly text: string;
}

/** How much of its loss limit a session has used. */
export function lossUsed({ figures, limits }: SessionView): Usage {
  const share = number(figures.lossLimitUtilization);
  if (share === undefined) return { share, text: NOTHING };
  const limit = number(limits.lossLimit) === undefined ? "" : ` of ${decimal(limits.lossLimit, 2)}`;
  return { share, text: `${percent(share)}${limit}` };
}

/** How much of its time a session has used. Time goes on between two statuses, and while it is paused. */
export function timeUsed({ status, figures, limits, startedAt }: SessionView, now: number): Usage {
  const told = number(figures.timeElapsed);
  const isRunning = (status === "active" || status === "paused") && startedAt !== undefined;
  const elapsed = isRunning ? Math.max(told ?? 0, now - startedAt) : told;
  if (elapsed === undefined) return { share: undefined, text: NOTHING };
  const limit = number(limits.timeLimitMs);
  if (!limit) return { share: undefined, text: `${span(elapsed)}, no limit` };
  return { share: elapsed / limit, text: `${span(Math.min(elapsed, limit))} of ${span(limit)}` };
}

/** One session out of its channel's events. */
export function sessionOf(id: string, messages: readonly Message<SessionEvent>[]): SessionView {
  return messages.reduce((view, { data, time }) => after(view, data, time), blank(id));
}

/** All sessions of a user, newest first. */
export function sessionsOf(messages: readonly Message<SessionEvent>[]): readonly SessionView[] {
  const byId = new Map<string, SessionView>();
  for (const { data, time } of messages) {
    if (!data.sessionId) continue;
    byId.set(data.sessionId, after(byId.get(data.sessionId) ?? blank(data.sessionId), data, time));
  }
  return ordered([...byId.values()]);
}

/** Those that run first, then the newest. */
export function ordered(views: readonly SessionView[]): readonly SessionView[] {
  return [...views].sort((a, b) => rank(a) - rank(b) || (b.time ?? 0) - (a.time ?? 0));
}

/**
 * The views with those ended whose emergency stop is in the user's inbox: it is told there and to the session's own channel, and may
 * stand there before the session's status does.
 */
export function withStops(views: readonly SessionView[], stopped: ReadonlySet<string>): readonly SessionView[] {
  const isCut = ({ id, status }: SessionView) => stopped.has(id) && (status === "active" || status === "paused");
  if (!views.some(isCut)) return views;
  return ordered(views.map((view) => (isCut(view) ? { ...view, status: "emergency_stopped" } : view)));
}

const rank = ({ status }: SessionView) => (status === "active" ? 0 : status === "paused" ? 1 : 2);

/** What an event of a user's sessions says something of: the newest of each is kept for long. */
export const sessionKey = ({ sessionId, type }: SessionEvent) => `${sessionId} ${type}`;
/** Of one session everything that happened is kept for long, and of its figures one in ten seconds. */
export const happeningKey = (data: SessionEvent) =>
  data.type === "session_status" ? `figures ${Math.floor(data.timestamp / 10_000)}` : JSON.stringify(data);
/** What a position is of. */
export const positionKey = ({ sessionId, symbol }: PositionUpdateData) => `${sessionId ?? ""} ${symbol}`;

/** Whether anything is held. A position that was closed goes on telling its realised P&L. */
export const isOpen = ({ data }: Message<PositionUpdateData>) => number(data.quantity) !== 0;

/** The P&L over time, at most one point a second. */
export function pnlOf(messages: readonly Message<SessionEvent>[]): readonly Point[] {
  const byTime = new Map<number, number>();
  for (const { data, time } of messages) {
    const value = data.type === "session_status" ? number(data.data.currentPnL) : undefined;
    if (value !== undefined) byTime.set(Math.floor(time / 1_000), value);
  }
  return [...byTime].map(([time, value]) => ({ time, value })).sort((a, b) => a.time - b.time);
}

/** The newest position of each symbol, in a session or over all. */
export function positionsOf(
  messages: readonly Message<PositionUpdateData>[],
  session?: string,
): readonly Message<PositionUpdateData>[] {
  const newest = new Map<string, Message<PositionUpdateData>>();
  for (const message of messages) {
    if (session === undefined || message.data.sessionId === session) newest.set(positionKey(message.data), message);
  }
  return [...newest.values()];
}

/** Realised and unrealised P&L of positions, exactly. */
export function profit(positions: readonly Message<PositionUpdateData>[]): {
  realised: string;
  unrealised: string;
  total: string;
} {
  const realised = sum(positions.map(({ data }) => data.realizedPnL));
  const unrealised = sum(positions.map(({ data }) => data.unrealizedPnL));
  return { realised, unrealised, total: sum([realised, unrealised]) };
}

/** Quantity times price, exactly. */
export function worth(quantity: string, price: string): string {
  const [a, b] = [quantity, price].map((text) => /^(-?)(\d+)(?:\.(\d+))?$/.exec(text));
  if (!a || !b) return "0";
  const digits = (a[3]?.length ?? 0) + (b[3]?.length ?? 0);
  const product = BigInt(`${a[2]}${a[3] ?? ""}`) * BigInt(`${b[2]}${b[3] ?? ""}`);
  const text = product.toString().padStart(digits + 1, "0");
  const cut = text.length - digits;
  return `${a[1] !== b[1] && product > 0n ? "-" : ""}${text.slice(0, cut)}${digits ? `.${text.slice(cut)}` : ""}`;
}

/** The portfolio's P&L over time, from the positions' own history, at most one point a second. */
export function portfolioPnl(messages: readonly Message<PositionUpdateData>[]): readonly Point[] {
  const newest = new Map<string, number>();
  const byTime = new Map<number, number>();
  let total = 0;
  for (const { data, time } of messages) {
    const key = positionKey(data);
    const value = (number(data.realizedPnL) ?? 0) + (number(data.unrealizedPnL) ?? 0);
    total += value - (newest.get(key) ?? 0);
    newest.set(key, value);
    byTime.set(Math.floor(time / 1_000), total);
  }
  return [...byTime].map(([time, value]) => ({ time, value })).sort((a, b) => a.time - b.time);
}
