import { useState } from "react";
import { account, isSignedIn } from "../lib/account";
import { useNow } from "../lib/clock";
import { decimal, percent, span, words } from "../lib/format";
import { useLog } from "../lib/log";
import { call } from "../lib/services";
import { useSignal } from "../lib/signals";
import { Age, Badge, Empty, Feed, Panel } from "../parts/parts";

/** A signal of an agent, and later what became of it. */
interface SignalData {
  type?: string;
  signalId?: string;
  agentId?: string;
  action?: string;
  symbol?: string;
  quantity?: string;
  price?: string;
  confidence?: number;
  reasoning?: string;
  reason?: string;
  autonomy?: string;
  status?: string;
  deadline?: number;
}

interface SignalView extends SignalData {
  id: string;
  time: number;
}

/** Signals that outside agents sent for this user: those that wait for a yes, and what became of the others. */
export default function Agents() {
  const who = useSignal(account);
  const log = useLog<SignalData>(`agent-signals:${isSignedIn(who) ? who.user : ""}`);
  const now = useNow();
  const byId = new Map<string, SignalView>();
  for (const { data, time, position } of log.messages) {
    const id = data.signalId ?? position ?? String(time);
    const before = byId.get(id);
    byId.set(id, { ...before, ...data, id, time: before?.time ?? time });
  }
  const all = [...byId.values()].reverse();
  const isWaiting = ({ autonomy, status, deadline }: SignalView) =>
    (status === "waiting" || status === "pending" || (autonomy === "approval" && status === undefined)) &&
    (deadline === undefined || deadline > now);
  const waiting = all.filter(isWaiting);
  const rest = all.filter((it) => !isWaiting(it)).slice(0, 200);
  return (
    <div className="columns">
      <h1 className="sr-only">Agents</h1>
      <Panel title="Waiting for your approval" aside={<span className="muted">{waiting.length}</span>} flush>
        {waiting.length === 0 ? (
          <Empty title={log.isLoading ? "Loading…" : "No signal waits for you"}>
            {log.error?.message ?? "Signals of agents that may not act on their own appear here, with the time left to answer."}
          </Empty>
        ) : (
          <Feed label="Signals that wait">
            {waiting.map((it) => (
              <Waiting key={it.id} of={it} now={now} />
            ))}
          </Feed>
        )}
      </Panel>
      <Panel title="Earlier signals" flush>
        {rest.length === 0 ? (
          <Empty title="No signal yet" />
        ) : (
          <Feed label="Signals that were answered">
            {rest.map((it) => (
              <li key={it.id}>
                <Facts of={it} />
              </li>
            ))}
          </Feed>
        )}
      </Panel>
    </div>
  );
}

function Facts({ of }: { of: SignalView }) {
  return (
    <>
      <p className="feed-head">
        <Badge tone={of.action === "sell" ? "bad" : of.action === "buy" ? "good" : "info"}>{words(of.action ?? of.type)}</Badge>
        <strong>{of.symbol}</strong>
        {of.quantity && <span className="num">{decimal(of.quantity)}</span>}
        {of.confidence !== undefined && <span className="muted num">{percent(of.confidence)} sure</span>}
        <span className="muted">{of.agentId}</span>
        {of.status && <Badge>{words(of.status)}</Badge>}
        <span className="feed-time">
          <Age at={of.time} limit={Number.POSITIVE_INFINITY} />
        </span>
      </p>
      {(of.reasoning ?? of.reason) && <p>{of.reasoning ?? of.reason}</p>}
    </>
  );
}

function Waiting({ of, now }: { of: SignalView; now: number }) {
  const [busy, setBusy] = useState<string>();
  const [said, setSaid] = useState<string>();
  const answer = async (what: "approve" | "reject") => {
    setBusy(what);
    setSaid(undefined);
    try {
      await call<unknown>("algorithm", `/v1/signals/${encodeURIComponent(of.id)}/${what}`, {}, `${of.id}-${what}`);
      setSaid(what === "approve" ? "Approved; waiting for the fill." : "Rejected.");
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
      setBusy(undefined);
    }
  };
  return (
    <li>
      <Facts of={of} />
      <div className="controls-buttons">
        <button
          type="button"
          className="button button-primary button-small"
          disabled={busy !== undefined}
          onClick={() => answer("approve")}
        >
          Approve
        </button>
        <button type="button" className="button button-small" disabled={busy !== undefined} onClick={() => answer("reject")}>
          Reject
        </button>
        {of.deadline && <span className="muted num">{span(of.deadline - now)} left</span>}
        <span role="status" className="muted small">
          {said}
        </span>
      </div>
    </li>
  );
}
