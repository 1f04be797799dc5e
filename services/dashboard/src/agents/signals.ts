import type { Message } from "@tickwire/client";
import { call, ServiceError } from "../lib/services";

/** A signal of an agent, as it is told: by itself, or as the event of a strategy's update. */
interface SignalData {
  type?: string;
  /** Of a strategy's update: the session. */
  strategyId?: string;
  event?: SignalData;
  signalId?: string;
  agentId?: string;
  agent?: string;
  action?: string;
  symbol?: string;
  quantity?: string;
  confidence?: number;
  reasoning?: string;
  reason?: string;
  autonomy?: string;
  status?: string;
  state?: string;
  deadline?: number;
}

export type SignalMessage = Message<SignalData>;

/** A signal, and what became of it. */
export interface SignalView {
  readonly id: string;
  readonly session: string | undefined;
  readonly agent: string | undefined;
  readonly action: string | undefined;
  readonly symbol: string | undefined;
  readonly quantity: string | undefined;
  readonly confidence: number | undefined;
  readonly said: string | undefined;
  /** Why it was refused. */
  readonly reason: string | undefined;
  readonly state: string | undefined;
  /** Until when it waits for an answer, milliseconds. */
  readonly deadline: number | undefined;
  /** When it came, where that is known. */
  readonly time: number | undefined;
}

/** A signal as the algorithm lists and answers it. */
export interface KnownSignal {
  signal: {
    id: string;
    agent: string;
    symbol: string;
    action: string;
    quantity?: string;
    confidence: number;
    reasoning: string;
  };
  state: string;
  reason?: string;
  deadline?: number;
}

/** Every signal that was told, as it stands now; the newest first. */
export function signalsOf(messages: readonly SignalMessage[]): readonly SignalView[] {
  const byId = new Map<string, SignalView>();
  for (const { data, position, time } of [...messages].sort((a, b) => a.time - b.time)) {
    const it = data.event ?? data;
    if (data.event && it.type !== "agent_signal") continue;
    const id = it.signalId ?? position ?? String(time);
    const key = `${data.strategyId ?? ""} ${id}`;
    const before = byId.get(key);
    byId.set(key, {
      id,
      session: data.strategyId ?? before?.session,
      agent: it.agent ?? it.agentId ?? before?.agent,
      action: it.action ?? before?.action,
      symbol: it.symbol ?? before?.symbol,
      quantity: it.quantity ?? before?.quantity,
      confidence: it.confidence ?? before?.confidence,
      said: it.reasoning ?? before?.said,
      reason: it.reason ?? before?.reason,
      state: it.state ?? it.status ?? before?.state ?? (it.autonomy === "approval" ? "waiting" : undefined),
      deadline: it.deadline ?? before?.deadline,
      time: before?.time ?? time,
    });
  }
  return [...byId.values()].reverse();
}

/** Those that were told, and of those that `session`'s bot says wait for an answer the ones that were not. */
export function withWaiting(
  views: readonly SignalView[],
  waiting: readonly { session: string; of: KnownSignal }[],
): readonly SignalView[] {
  const told = new Set(views.map(({ id, session }) => `${session} ${id}`));
  const others = waiting.filter(({ session, of }) => !told.has(`${session} ${of.signal.id}`));
  const view = ({ session, of: { signal, state, reason, deadline } }: (typeof waiting)[number]): SignalView => ({
    id: signal.id,
    session,
    agent: signal.agent,
    action: signal.action,
    symbol: signal.symbol,
    quantity: signal.quantity,
    confidence: signal.confidence,
    said: signal.reasoning,
    reason,
    state,
    deadline,
    time: undefined,
  });
  return [...others.map(view), ...views];
}

/** Asks the bots of these sessions for the signals that wait. */
export async function listWaiting(sessions: readonly string[]): Promise<readonly { session: string; of: KnownSignal }[]> {
  const ask = async (session: string) => {
    try {
      const path = `/v1/accounts/${encodeURIComponent(session)}/signals`;
      const { items = [] } = await call<{ items?: readonly KnownSignal[] }>("algorithm", path);
      return items.map((of) => ({ session, of }));
    } catch (error) {
      // A session that has just begun or ended has no bot: nothing of it waits.
      if (error instanceof ServiceError && error.kind === "refused") return [];
      throw error;
    }
  };
  return (await Promise.all(sessions.map(ask))).flat();
}

/** Whether it still waits for its user at `now`. */
export const isWaiting = ({ state, deadline }: SignalView, now: number) =>
  (state === "waiting" || state === "pending") && (deadline === undefined || deadline > now);

/** Says yes or no, and answers what became of it. The same answer again changes nothing. */
export async function answer({ id, session }: SignalView, isYes: boolean): Promise<KnownSignal> {
  if (session === undefined) throw new Error("This signal belongs to no session that could act on it.");
  const path = `/v1/accounts/${encodeURIComponent(session)}/signals/${encodeURIComponent(id)}/answer`;
  return call<KnownSignal>("algorithm", path, { approve: isYes }, `${session}-${id}-${isYes}`);
}
