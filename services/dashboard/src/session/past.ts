import type { AlgorithmDecisionData, Message, TradeExecutedData } from "@tickwire/client";
import { useMemo } from "react";
import { call, usePolled } from "../lib/services";
import type { SessionEvent } from "./model";

/** What the algorithm remembers of an account: orders, and the newest fills and decisions, oldest first. */
export interface Activity {
  orders?: readonly { number: number; symbol: string; side: "buy" | "sell" }[];
  fills?: readonly { number: number; order: number; price: string; quantity: string; fee: string; at: number }[];
  decisions?: readonly {
    symbol: string;
    action: AlgorithmDecisionData["decision"];
    reasoning: string;
    confidence: number;
    price: string;
    volume: string;
    at: number;
  }[];
}

/** Asked once: what happens later comes over the session's channel. */
export function useActivity(session: string): Activity | undefined {
  const ask = useMemo(
    () => () => call<Activity>("algorithm", `/v1/accounts/${encodeURIComponent(session)}/activity`),
    [session],
  );
  return usePolled(ask, undefined).value;
}

/** What two tellings of one happening have in common. */
function sameness(data: SessionEvent): string | undefined {
  if (data.type === "trade_executed") return data.tradeId;
  if (data.type === "algorithm_decision") return `${data.marketData.symbol} ${data.marketData.price} ${data.reasoning}`;
  return undefined;
}

function told({ sessionId, userId }: { sessionId: string; userId: string }, activity: Activity): Message<SessionEvent>[] {
  const { orders = [], fills = [], decisions = [] } = activity;
  const channel = `session:${sessionId}`;
  const byNumber = new Map(orders.map((order) => [order.number, order]));
  const trades = fills.flatMap(({ number, order, price, quantity, fee, at }) => {
    const of = byNumber.get(order);
    if (!of) return [];
    const data: TradeExecutedData = {
      type: "trade_executed",
      tradeId: `${sessionId}-t${number}`,
      sessionId,
      userId,
      symbol: of.symbol,
      side: of.side,
      quantity,
      price,
      fee,
      timestamp: at,
    };
    return [{ channel, data, time: at, recovered: true }];
  });
  const decided = decisions.map(({ symbol, action, reasoning, confidence, price, volume, at }) => {
    const data = {
      type: "algorithm_decision",
      sessionId,
      userId,
      algorithmId: "",
      decision: action,
      reasoning,
      confidence,
      marketData: { symbol, price, volume },
      timestamp: at,
    } satisfies AlgorithmDecisionData;
    return { channel, data, time: at, recovered: true };
  });
  return [...trades, ...decided].sort((a, b) => a.time - b.time);
}

/** A session's messages, and before them what had left the channel's history already. */
export function withPast(
  messages: readonly Message<SessionEvent>[],
  of: { sessionId: string; userId: string },
  activity: Activity | undefined,
): readonly Message<SessionEvent>[] {
  if (!activity) return messages;
  const begun = messages[0]?.time ?? Number.POSITIVE_INFINITY;
  const known = new Set(messages.map(({ data }) => sameness(data)).filter(Boolean));
  const past = told(of, activity).filter(({ time, data }) => time < begun && !known.has(sameness(data)));
  return past.length === 0 ? messages : [...past, ...messages];
}
