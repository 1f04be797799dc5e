import { useEffect, useMemo, useState } from "react";
import { Link } from "react-router";
import { account, isSignedIn } from "../lib/account";
import { useNow } from "../lib/clock";
import { decimal, percent, span, words } from "../lib/format";
import { isGranted } from "../lib/jwt";
import { useLog, useLogs } from "../lib/log";
import { usePolled } from "../lib/services";
import { useSignal } from "../lib/signals";
import { Age, Badge, Empty, Feed, Panel, type Tone } from "../parts/parts";
import { type SessionEvent, sessionKey, sessionsOf } from "../session/model";
import { useRecords, withRecords } from "../trading/records";
import { answer, isWaiting, listWaiting, type SignalMessage, type SignalView, signalsOf, withWaiting } from "./signals";

/** Sessions whose agents are listened to. */
const SESSIONS_MAX = 20;
const SHOWN_MAX = 200;
/** How often bots are asked for signals that wait, for those that came over no channel. */
const WAITING_MS = 3_000;

/** Signals that outside agents sent for this user: those that wait for a yes, and what became of the others. */
export default function Agents() {
  const who = useSignal(account);
  const user = isSignedIn(who) ? who.user : "";
  const sessions = useLog<SessionEvent>(`sessions:${user}`, sessionKey);
  const records = useRecords();
  const running = withRecords(sessionsOf(sessions.messages), records.value ?? [])
    .filter(({ status }) => status === "active" || status === "paused")
    .slice(0, SESSIONS_MAX);
  const polled = useWaiting(running.map(({ id }) => id));
  const grants = isSignedIn(who) ? who.grants : [];
  const strategies = running.map(({ id }) => `strategy:${id}`).filter((channel) => isGranted(grants, channel));
  const logs = useLogs<SignalMessage["data"]>([`agent-signals:${user}`, ...strategies]);
  const all = useMemo(
    () => withWaiting(signalsOf(logs.flatMap(({ messages }) => messages)), polled.value ?? []),
    [logs, polled.value],
  );
  const now = useNow();
  const waiting = all.filter((it) => isWaiting(it, now));
  const rest = all.filter((it) => !isWaiting(it, now)).slice(0, SHOWN_MAX);
  return (
    <div className="columns">
      <h1 className="sr-only">Agents</h1>
      <Panel title="Waiting for your approval" aside={<span className="muted num">{waiting.length}</span>} flush>
        {waiting.length === 0 ? (
          <Empty title={logs[0]?.isLoading ? "Loading…" : "No signal waits for you"}>
            {logs[0]?.error?.message ??
              "Signals of agents that may not act on their own appear here, with the time left to answer."}
          </Empty>
        ) : (
          <Feed label="Signals that wait">
            {waiting.map((it) => (
              <Waiting key={`${it.session} ${it.id}`} of={it} now={now} onAnswer={polled.again} />
            ))}
          </Feed>
        )}
      </Panel>
      <Panel title="Earlier signals" flush>
        {rest.length === 0 ? (
          <Empty title="No signal yet">What agents proposed, and what became of it.</Empty>
        ) : (
          <Feed label="Signals that were answered">
            {rest.map((it) => (
              <li key={`${it.session} ${it.id}`}>
                <Facts of={it} />
              </li>
            ))}
          </Feed>
        )}
      </Panel>
    </div>
  );
}

/** What waits by the word of the bots themselves. */
function useWaiting(sessions: readonly string[]) {
  const polled = usePolled(() => listWaiting(sessions), WAITING_MS);
  const { again } = polled;
  const key = sessions.join(" ");
  // biome-ignore lint/correctness/useExhaustiveDependencies: other sessions are asked at once.
  useEffect(() => {
    if (key) again();
  }, [key]);
  return polled;
}

const ACTIONS: Record<string, Tone> = { buy: "good", sell: "bad", close_position: "warn" };
const STATES: Record<string, Tone | "info"> = { executed: "good", refused: "bad", declined: "warn", shown: "info" };

function Facts({ of }: { of: SignalView }) {
  return (
    <>
      <p className="feed-head">
        <Badge tone={ACTIONS[of.action ?? ""] ?? "info"}>{words(of.action ?? "signal")}</Badge>
        <strong>{of.symbol}</strong>
        {of.quantity && <span className="num">{decimal(of.quantity)}</span>}
        {of.confidence !== undefined && <span className="muted num">{percent(of.confidence)} sure</span>}
        <span className="muted">{of.agent}</span>
        {of.session && <Link to={`/sessions/${encodeURIComponent(of.session)}`}>{of.session}</Link>}
        {of.state && <Badge tone={STATES[of.state] ?? "idle"}>{words(of.state)}</Badge>}
        <span className="feed-time">
          <Age at={of.time} limit={Number.POSITIVE_INFINITY} />
        </span>
      </p>
      {of.said && <p>{of.said}</p>}
      {of.reason && <p className="muted small">{of.reason}</p>}
    </>
  );
}

function Waiting({ of, now, onAnswer }: { of: SignalView; now: number; onAnswer: () => void }) {
  const [busy, setBusy] = useState<string>();
  const [said, setSaid] = useState<{ text: string; isFault: boolean }>();
  const reply = async (what: "approve" | "decline") => {
    setBusy(what);
    setSaid(undefined);
    try {
      const { state, reason } = await answer(of, what === "approve");
      setSaid({ text: reason ?? `${words(state)}.`, isFault: state === "refused" });
      onAnswer();
    } catch (error) {
      setSaid({ text: error instanceof Error ? error.message : String(error), isFault: true });
      setBusy(undefined);
    }
  };
  const isBusy = busy !== undefined;
  return (
    <li>
      <Facts of={of} />
      <div className="answer">
        <button type="button" className="button button-primary button-small" disabled={isBusy} onClick={() => reply("approve")}>
          {busy === "approve" ? "Approving…" : "Approve"}
        </button>
        <button type="button" className="button button-small" disabled={isBusy} onClick={() => reply("decline")}>
          {busy === "decline" ? "Declining…" : "Decline"}
        </button>
        {of.deadline && <span className="muted num">{span(of.deadline - now)} left</span>}
        <span role="status" className={said?.isFault ? "fault small" : "muted small"}>
          {said?.text}
        </span>
      </div>
    </li>
  );
}
