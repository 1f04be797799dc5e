import type { SessionStatus } from "@tickwire/client";
import { useMemo, useState } from "react";
import { sum } from "../lib/format";
import { call, type Polled, usePolled } from "../lib/services";
import { blank, concluded, ordered, type SessionView } from "../session/model";

/** A session as the session service keeps it. Money is decimal text in the quote currency. */
export interface SessionRecord {
  sessionId: string;
  userId: string;
  algorithmId: string;
  parameters: Readonly<Record<string, unknown>>;
  symbols: readonly string[];
  capital: string;
  limits: { lossLimit: string; timeLimitMs?: number; exposureLimit?: string };
  status: SessionStatus;
  createdAt: number;
  startedAt?: number;
  ending?: { at: number; reason: string; summary?: Readonly<Record<string, unknown>> };
  updatedAt: number;
  version: number;
}

/** A session's account as the algorithm keeps it: absolute figures, the newest version counts. */
export interface AccountFigures {
  sessionId: string;
  version: number;
  cash: string;
  realizedPnL: string;
  unrealizedPnL: string;
  fees: string;
  equity: string;
  exposure: string;
  trades: number;
  openOrders: number;
}

/** What a user asks the session service for. */
export interface NewSession {
  algorithmId: string;
  parameters?: Readonly<Record<string, unknown>>;
  symbols: readonly string[];
  capital: string;
  limits: { lossLimit: string; timeLimitMs?: number; exposureLimit?: string };
}

interface Page<T> {
  items?: readonly T[];
}

/** How often lists are asked for; what changes between comes by events. */
const LISTS_MS = 10_000;

const items =
  <T>(path: string, service: "session" | "algorithm") =>
  async () =>
    (await call<Page<T>>(service, path)).items ?? [];

/** A page has two hundred, in the order of their ids: those that run are asked for by themselves, so that none is missed. */
async function listSessions(): Promise<readonly SessionRecord[]> {
  const ask = (query: string) => items<SessionRecord>(`/v1/sessions${query}`, "session")();
  const [open, some] = await Promise.all([ask("?settled=false"), ask("")]);
  return [...new Map([...some, ...open].map((it) => [it.sessionId, it])).values()];
}
const listAccounts = items<AccountFigures>("/v1/accounts", "algorithm");

/** The user's sessions, where there is a session service. */
export const useRecords = (): Polled<readonly SessionRecord[]> => usePolled(listSessions, LISTS_MS);
/** The user's accounts, where there is an algorithm service. */
export const useAccounts = (): Polled<readonly AccountFigures[]> => usePolled(listAccounts, LISTS_MS);

/** The later one of two records of a session. */
const later = (a: SessionRecord | undefined, b: SessionRecord | undefined) => ((b?.version ?? 0) > (a?.version ?? 0) ? b : a);

/** One session's record, and where the answer to a command goes: the screen need not wait for the next look. */
export function useRecord(session: string): { value: SessionRecord | undefined; tell: (record: SessionRecord) => void } {
  const ask = useMemo(() => () => call<SessionRecord>("session", `/v1/sessions/${encodeURIComponent(session)}`), [session]);
  const polled = usePolled(ask, LISTS_MS).value;
  const [told, tell] = useState<SessionRecord>();
  const newest = later(polled, told);
  return { value: newest?.sessionId === session ? newest : undefined, tell };
}

/** One session's account. */
export function useAccount(session: string): Polled<AccountFigures> {
  const ask = useMemo(() => () => call<AccountFigures>("algorithm", `/v1/accounts/${encodeURIComponent(session)}`), [session]);
  return usePolled(ask, 2_000);
}

/** Creates a session; once under its key. */
export const create = (asked: NewSession, key: string) => call<SessionRecord>("session", "/v1/sessions", asked, key);

/** What the record knows that the events do not, or do not any more; of the status, the newer word counts. */
export function withRecord(view: SessionView, record: SessionRecord | undefined): SessionView {
  if (!record) return view;
  const isNewer = view.status === undefined || record.updatedAt > (view.time ?? 0);
  const known = record.ending?.summary ? concluded(view, record.ending.summary) : view;
  return {
    ...known,
    status: isNewer ? record.status : view.status,
    algorithm: view.algorithm ?? record.algorithmId,
    symbols: record.symbols,
    limits: { ...record.limits },
    startedAt: record.startedAt ?? view.startedAt,
    time: view.time ?? record.updatedAt,
  };
}

/** All sessions that events or records know of. */
export function withRecords(views: readonly SessionView[], records: readonly SessionRecord[]): readonly SessionView[] {
  const byId = new Map(records.map((record) => [record.sessionId, record]));
  const known = views.map((view) => withRecord(view, byId.get(view.id)));
  const ids = new Set(views.map(({ id }) => id));
  const others = records
    .filter(({ sessionId }) => !ids.has(sessionId))
    .map((record) => withRecord(blank(record.sessionId), record));
  return ordered([...known, ...others]);
}

/** What the accounts of sessions that run are worth: by the sessions' own events, which come faster than the next look at the accounts. */
export function equityOf(
  accounts: readonly AccountFigures[],
  records: readonly SessionRecord[],
  views: readonly SessionView[],
): string {
  const pnl = new Map(views.map(({ id, figures }) => [id, figures.currentPnL]));
  const capital = new Map(records.map((record) => [record.sessionId, record.capital]));
  return sum(
    accounts.map(({ sessionId, equity }) => {
      const [gained, own] = [pnl.get(sessionId), capital.get(sessionId)];
      return gained === undefined || own === undefined ? equity : sum([own, gained]);
    }),
  );
}
