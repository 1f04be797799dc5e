import type { AlgorithmDecisionData, Message, PositionUpdateData, RiskAlertData, TradeExecutedData } from "@tickwire/client";
import { useMemo } from "react";
import { Link, useParams } from "react-router";
import { account, isSignedIn } from "../lib/account";
import { clock, count, counted, decimal, direction, moment, number, percent, signed, words } from "../lib/format";
import { type Log, useLog } from "../lib/log";
import { useSignal } from "../lib/signals";
import { parts } from "../markets/quotes";
import { PositionsTable } from "../overview/positions";
import { RealTimeChart } from "../parts/chart";
import { Age, Badge, Empty, Feed, MetricDisplay, Panel, RealTimeMetrics, type Tone } from "../parts/parts";
import { DataTable } from "../parts/table";
import { equityOf, useAccount, useRecord, withRecord } from "../trading/records";
import { SessionControls } from "./controls";
import {
  happeningKey,
  hasStarted,
  isOpen,
  pnlOf,
  positionKey,
  positionsOf,
  type SessionEvent,
  sessionOf,
  standing,
} from "./model";
import { useActivity, withPast } from "./past";
import { RiskPanel } from "./risk";
import { isOver, SessionStatusDot } from "./status";
import { StopProgress } from "./stop";
import { Summary, Terms } from "./terms";
import { LossGauge, TimeGauge } from "./usage";

/** One trading session, live. */
export default function Session() {
  const { id = "" } = useParams();
  const who = useSignal(account);
  const user = isSignedIn(who) ? who.user : "";
  const told = useLog<SessionEvent>(`session:${id}`, happeningKey);
  const activity = useActivity(id);
  const log = useMemo<Log<SessionEvent>>(
    () => ({ ...told, messages: withPast(told.messages, { sessionId: id, userId: user }, activity) }),
    [told, id, user, activity],
  );
  const positions = useLog<PositionUpdateData>(`user:${user}:positions`, positionKey);
  const { value: record, tell } = useRecord(id);
  const held = useAccount(id).value;
  const view = useMemo(() => withRecord(sessionOf(id, log.messages), record), [id, log.messages, record]);
  if (log.error) {
    return (
      <>
        <h1 className="sr-only">{id}</h1>
        <Panel title="Session">
          <Empty title="This session cannot be shown">
            {log.error.message}. <Link to="/">Back to the overview</Link>
          </Empty>
        </Panel>
      </>
    );
  }
  if (!log.isLoading && log.messages.length === 0 && !record) {
    return (
      <>
        <h1 className="sr-only">{id}</h1>
        <Panel title="Session">
          <Empty title="Nothing is known of this session">
            Its events appear here as soon as it starts. <Link to="/">Back to the overview</Link>
          </Empty>
        </Panel>
      </>
    );
  }
  const { figures } = view;
  return (
    <div className="session">
      <header className="screen-head">
        <div>
          <p className="muted small">
            <Link to="/">Overview</Link> / Session {id}
          </p>
          <h1>{view.algorithm ?? id}</h1>
          <p className="screen-facts">
            <SessionStatusDot status={standing(view)} />
            {view.symbols.length > 0 && <span className="muted">{view.symbols.join(", ")}</span>}
            {view.startedAt && <span className="muted">since {moment(view.startedAt)}</span>}
            <Age at={view.time} limit={view.status === "active" ? 30_000 : Number.POSITIVE_INFINITY} prefix="updated " />
          </p>
        </div>
        <SessionControls session={id} status={view.status} hasStarted={hasStarted(view)} onAnswer={tell} />
      </header>
      <RealTimeMetrics
        label="Figures of the session"
        beside={
          <div className="metric metric-gauge">
            <LossGauge of={view} />
            <TimeGauge of={view} />
          </div>
        }
      >
        <MetricDisplay
          big
          label="P&L"
          value={signed(figures.currentPnL, 2)}
          tone={direction(figures.currentPnL, 2)}
          note={held && `${decimal(held.fees, 2)} fees`}
        />
        {held && (
          <MetricDisplay
            big
            label="Equity"
            value={decimal(record ? equityOf([held], [record], [view]) : held.equity, 2)}
            note={`${decimal(held.exposure, 2)} exposed`}
          />
        )}
        <MetricDisplay
          big
          label="Trades"
          value={count(figures.totalTrades)}
          note={held && `${counted(held.openOrders, "order")} open`}
        />
        <MetricDisplay big label="Score" value={percent(figures.performanceScore)} />
      </RealTimeMetrics>
      {view.status === "emergency_stopped" && <StopProgress session={id} />}
      <div className="columns columns-wide">
        <PnlPanel log={log} />
        <Alerts log={log} />
        <Decisions log={log} />
        <Trades log={log} />
      </div>
      {record && !isOver(view.status) && <RiskPanel session={id} />}
      <PositionsTable
        positions={positionsOf(positions.messages, id).filter(isOpen)}
        title="Positions of this session"
        isOfOne
      />
      {record && <Terms of={record} />}
      {view.summary && <Summary of={view.summary} />}
    </div>
  );
}

function PnlPanel({ log }: { log: Log<SessionEvent> }) {
  const points = useMemo(() => pnlOf(log.messages), [log.messages]);
  const newest = points[points.length - 1]?.value;
  return (
    <Panel title="P&L over time">
      {points.length > 1 ? (
        <RealTimeChart kind="gain" data={points} label={`P&L over time, now ${signed(newest)}`} />
      ) : (
        <div className="chart">
          {log.isLoading ? (
            <Empty title="Loading…" />
          ) : (
            <Empty title="Not enough to draw yet">The curve begins with the second status of the session.</Empty>
          )}
        </div>
      )}
    </Panel>
  );
}

const of = <T extends SessionEvent>(log: Log<SessionEvent>, type: T["type"]) =>
  log.messages.filter((it): it is Message<T> => it.data.type === type).reverse();

const SIDES: Record<string, Tone | "info"> = { buy: "good", sell: "bad", hold: "idle", close_position: "warn" };

function Decisions({ log }: { log: Log<SessionEvent> }) {
  const decisions = useMemo(() => of<AlgorithmDecisionData>(log, "algorithm_decision").slice(0, 100), [log]);
  return (
    <Panel title="Decisions" flush>
      {decisions.length === 0 ? (
        <Empty title={log.isLoading ? "Loading…" : "No decision yet"} />
      ) : (
        <Feed label="Newest decisions">
          {decisions.map(({ data, position, time }) => (
            <li key={position ?? time}>
              <p className="feed-head">
                <Badge tone={SIDES[data.decision] ?? "info"}>{words(data.decision)}</Badge>
                <strong>{data.marketData.symbol}</strong>
                <span className="num">{decimal(data.marketData.price)}</span>
                <span className="muted num">{percent(data.confidence)} sure</span>
                <span className="muted num feed-time">{clock(time)}</span>
              </p>
              <p>{data.reasoning}</p>
            </li>
          ))}
        </Feed>
      )}
    </Panel>
  );
}

function Alerts({ log }: { log: Log<SessionEvent> }) {
  const alerts = useMemo(() => of<RiskAlertData>(log, "risk_alert").slice(0, 50), [log]);
  return (
    <Panel title="Risk alerts" flush>
      {alerts.length === 0 ? (
        <Empty title={log.isLoading ? "Loading…" : "No alert"} />
      ) : (
        <Feed label="Newest risk alerts">
          {alerts.map(({ data, position, time }) => (
            <li key={position ?? time}>
              <p className="feed-head">
                <Badge tone={data.alertLevel === "warning" ? "warn" : "bad"}>{data.alertLevel}</Badge>
                <strong>{words(data.alertType)}</strong>
                <span className="muted num feed-time">{clock(time)}</span>
              </p>
              <p>{data.message}</p>
            </li>
          ))}
        </Feed>
      )}
    </Panel>
  );
}

function Trades({ log }: { log: Log<SessionEvent> }) {
  const trades = useMemo(() => of<TradeExecutedData>(log, "trade_executed"), [log]);
  return (
    <Panel title="Trades" flush>
      <DataTable<Message<TradeExecutedData>>
        label="Trades of the session"
        rows={trades}
        keyOf={({ data }) => data.tradeId}
        height="short"
        empty={<Empty title={log.isLoading ? "Loading…" : "No trade yet"} />}
        columns={[
          {
            id: "time",
            title: "Time",
            sortBy: ({ time }) => time,
            cell: ({ time }) => <span className="num">{clock(time)}</span>,
          },
          {
            id: "symbol",
            title: "Symbol",
            fills: true,
            sortBy: ({ data }) => data.symbol,
            cell: ({ data }) => <span title={data.symbol}>{parts(data.symbol).symbol}</span>,
          },
          {
            id: "side",
            title: "Side",
            sortBy: ({ data }) => data.side,
            cell: ({ data }) => <span className={data.side === "buy" ? "up" : "down"}>{data.side}</span>,
          },
          {
            id: "quantity",
            title: "Quantity",
            numeric: true,
            sortBy: ({ data }) => number(data.quantity),
            cell: ({ data }) => decimal(data.quantity),
          },
          {
            id: "price",
            title: "Price",
            numeric: true,
            sortBy: ({ data }) => number(data.price),
            cell: ({ data }) => decimal(data.price),
          },
          { id: "fee", title: "Fee", numeric: true, wideOnly: true, cell: ({ data }) => decimal(data.fee, 4) },
        ]}
      />
    </Panel>
  );
}
