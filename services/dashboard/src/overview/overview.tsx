import type { PositionUpdateData } from "@tickwire/client";
import { useRealTimeNotifications, useWebSocketConnection } from "@tickwire/client/react";
import { useMemo, useState } from "react";
import { Link } from "react-router";
import { account, isSignedIn } from "../lib/account";
import { count, counted, decimal, direction, signed, sum } from "../lib/format";
import { useLog } from "../lib/log";
import { useSignal } from "../lib/signals";
import { levelOf, textOf, titleOf } from "../notifications/text";
import { RealTimeChart } from "../parts/chart";
import { Age, Badge, Empty, Feed, MetricDisplay, Panel, RealTimeMetrics } from "../parts/parts";
import {
  isOpen,
  portfolioPnl,
  positionKey,
  positionsOf,
  profit,
  type SessionEvent,
  type SessionView,
  sessionKey,
  sessionsOf,
  standing,
  withStops,
  worth,
} from "../session/model";
import { isOver, SessionStatusDot } from "../session/status";
import { LossGauge, TimeGauge } from "../session/usage";
import { NewSessionDialog } from "../trading/new-session";
import { equityOf, useAccounts, useRecords, withRecords } from "../trading/records";
import { PositionsTable } from "./positions";
import { Wallets } from "./wallets";

/** Cards shown; the rest is a line. */
const CARDS_MAX = 12;

/** Portfolio, sessions, alerts. */
export default function Overview() {
  const who = useSignal(account);
  const user = isSignedIn(who) ? who.user : "";
  const sessions = useLog<SessionEvent>(`sessions:${user}`, sessionKey);
  const log = useLog<PositionUpdateData>(`user:${user}:positions`, positionKey);
  const records = useRecords();
  const accounts = useAccounts();
  const positions = useMemo(() => positionsOf(log.messages), [log.messages]);
  const points = useMemo(() => portfolioPnl(log.messages), [log.messages]);
  const { notifications } = useRealTimeNotifications();
  const views = useMemo(() => {
    const stops = notifications.filter(({ type }) => type === "emergency_stop").map(({ data }) => String(data.sessionId));
    return withStops(withRecords(sessionsOf(sessions.messages), records.value ?? []), new Set(stops));
  }, [sessions.messages, notifications, records.value]);
  const { total, realised, unrealised } = profit(positions);
  const value = sum(positions.map(({ data }) => worth(data.quantity, data.markPrice)));
  const has = positions.length > 0;
  const newest = log.messages[log.messages.length - 1]?.time;
  return (
    <div className="overview">
      <h1 className="sr-only">Overview</h1>
      <RealTimeMetrics label="Portfolio">
        {accounts.value && accounts.value.length > 0 && (
          <MetricDisplay
            big
            label="Equity"
            value={decimal(equityOf(accounts.value, records.value ?? [], views), 2)}
            note={`${decimal(sum(accounts.value.map(({ cash }) => cash)), 2)} in cash`}
          />
        )}
        <MetricDisplay
          big
          label="Open positions at mark"
          value={has ? decimal(value, 2) : "–"}
          note={<Age at={newest} limit={60_000} />}
        />
        <MetricDisplay
          big
          label="Total P&L"
          value={has ? signed(total, 2) : "–"}
          tone={direction(total, 2)}
          note={accounts.value?.length ? "before fees" : undefined}
        />
        <MetricDisplay big label="Unrealised" value={has ? signed(unrealised, 2) : "–"} tone={direction(unrealised, 2)} />
        <MetricDisplay big label="Realised" value={has ? signed(realised, 2) : "–"} tone={direction(realised, 2)} />
        <MetricDisplay
          big
          label="Sessions running"
          value={count(views.filter(({ status }) => status === "active").length)}
          note={`${views.length} known`}
        />
      </RealTimeMetrics>
      <div className="columns columns-wide">
        <Panel title="Portfolio P&L">
          {points.length > 1 ? (
            <RealTimeChart kind="gain" data={points} label={`Portfolio P&L over time, now ${signed(total, 2)}`} />
          ) : (
            <div className="chart">
              <Empty title={log.isLoading ? "Loading…" : has ? "Not enough to draw yet" : "No position has been reported yet"}>
                The curve begins with your positions' updates.
              </Empty>
            </div>
          )}
        </Panel>
        <Alerts />
      </div>
      <section aria-label="Sessions">
        <div className="section-head">
          <h2>Sessions</h2>
          {records.value && <NewSession />}
        </div>
        {views.length === 0 ? (
          <div className="panel">
            <Empty title={sessions.isLoading ? "Loading your sessions…" : "You have no session yet"}>
              {!sessions.isLoading && "Sessions appear here the moment they start, whoever starts them."}
            </Empty>
          </div>
        ) : (
          <div className="cards">
            {views.slice(0, CARDS_MAX).map((view) => (
              <LiveSessionCard key={view.id} view={view} />
            ))}
          </div>
        )}
        {views.length > CARDS_MAX && <p className="muted small">{views.length - CARDS_MAX} older sessions are not shown.</p>}
      </section>
      <PositionsTable positions={positions.filter(isOpen)} />
      <Wallets user={user} />
    </div>
  );
}

function NewSession() {
  const [isAsked, setAsked] = useState(false);
  return (
    <>
      <button type="button" className="button button-small button-primary" onClick={() => setAsked(true)}>
        New session
      </button>
      {isAsked && <NewSessionDialog onClose={() => setAsked(false)} />}
    </>
  );
}

/** A session at a glance. */
export function LiveSessionCard({ view }: { view: SessionView }) {
  const { id, status, figures, algorithm, symbols, time } = view;
  return (
    <Link to={`/sessions/${encodeURIComponent(id)}`} className={`card ${isOver(status) ? "card-over" : ""}`}>
      <div className="card-line">
        <strong className="card-name">{algorithm ?? "session"}</strong>
        <Age at={time} limit={status === "active" ? 30_000 : Number.POSITIVE_INFINITY} />
      </div>
      <div className="card-line small">
        <SessionStatusDot status={standing(view)} />
        <span className="card-name muted">{symbols.join(", ")}</span>
      </div>
      <div className="card-line card-figures">
        <span className={`card-figure num ${direction(figures.currentPnL, 2)}`}>{signed(figures.currentPnL, 2)}</span>
        <span className="muted small num">{counted(figures.totalTrades, "trade")}</span>
      </div>
      <LossGauge of={view} />
      <TimeGauge of={view} />
      <span className="card-name muted small card-id">{id}</span>
    </Link>
  );
}

function Alerts() {
  const { notifications, unreadCount } = useRealTimeNotifications();
  const { isConnected } = useWebSocketConnection();
  const newest = notifications.slice(0, 6);
  return (
    <Panel title="Alerts" aside={<Link to="/notifications">{unreadCount > 0 ? `${unreadCount} unread` : "All"}</Link>} flush>
      {newest.length === 0 ? (
        <Empty title={isConnected ? "No alert" : "Waiting for the connection…"} />
      ) : (
        <Feed label="Newest alerts">
          {newest.map((it) => (
            <li key={it.position}>
              <p className="feed-head feed-line">
                <Badge tone={it.priority === "critical" ? "bad" : it.priority === "high" ? "warn" : "info"}>
                  {levelOf(it)}
                </Badge>
                <strong>{titleOf(it)}</strong>
                <span className="feed-time">
                  <Age at={it.time} limit={Number.POSITIVE_INFINITY} />
                </span>
              </p>
              <p>{textOf(it)}</p>
            </li>
          ))}
        </Feed>
      )}
    </Panel>
  );
}
