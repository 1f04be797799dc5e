import { useEffect, useRef, useState } from "react";
import { bytes, compact, count, span, words } from "../lib/format";
import { call, type Polled, ServiceError, usePolled } from "../lib/services";
import { Age, Badge, Empty, MetricDisplay, Panel, RealTimeMetrics, StatusDot } from "../parts/parts";
import { DataTable } from "../parts/table";
import { Metrics } from "./metrics";

interface NodeEntry {
  node: string;
  connections: number;
  subscriptions: number;
  channels: number;
  ageMs: number;
}

/** What a poll found wrong, where there is nothing to show. */
export function Fault({ of }: { of: Polled<unknown> }) {
  if (of.error?.kind === "forbidden") return <Empty title="Not for this token">{of.error.message}</Empty>;
  return <Empty title={of.error ? "Nothing to show" : "Loading…"}>{of.error?.message}</Empty>;
}

/** The edges there are. */
export function Nodes() {
  const polled = usePolled(() => call<{ nodes: NodeEntry[]; healthy: boolean }>("emitter", "/v1/nodes"), 2_000);
  const { value, error, at } = polled;
  return (
    <Panel
      title="Nodes"
      flush
      aside={
        <>
          {value && (
            <StatusDot tone={value.healthy ? "good" : "bad"}>{value.healthy ? "store healthy" : "store unreachable"}</StatusDot>
          )}
          {error && value && <Badge tone="warn">{error.message}</Badge>}
          <Age at={at} limit={8_000} />
        </>
      }
    >
      {value ? (
        <DataTable<NodeEntry>
          label="Nodes of the cluster"
          rows={value.nodes}
          keyOf={({ node }) => node}
          height="short"
          empty={<Empty title="No edge reports" />}
          columns={[
            { id: "node", title: "Edge", grow: 2, sortBy: ({ node }) => node, cell: ({ node }) => <strong>{node}</strong> },
            {
              id: "connections",
              title: "Connections",
              numeric: true,
              sortBy: (it) => it.connections,
              cell: (it) => count(it.connections),
            },
            {
              id: "subscriptions",
              title: "Subscriptions",
              numeric: true,
              wideOnly: true,
              sortBy: (it) => it.subscriptions,
              cell: (it) => count(it.subscriptions),
            },
            {
              id: "channels",
              title: "Channels",
              numeric: true,
              wideOnly: true,
              sortBy: (it) => it.channels,
              cell: (it) => count(it.channels),
            },
            { id: "age", title: "Reported", numeric: true, sortBy: (it) => it.ageMs, cell: (it) => span(it.ageMs) },
          ]}
        />
      ) : (
        <Fault of={polled} />
      )}
    </Panel>
  );
}

async function scrape(): Promise<Metrics> {
  const answer = await fetch("/metrics", { cache: "no-store", signal: AbortSignal.timeout(8_000) });
  if (!answer.ok) throw new ServiceError("unreachable", `The edge answered ${answer.status}.`);
  return new Metrics(await answer.text(), Date.now());
}

/** What the edge that serves this page counts. */
export function Traffic() {
  const polled = usePolled(scrape, 2_000);
  const { value: now, at } = polled;
  const last = useRef<Metrics>(undefined);
  const [before, setBefore] = useState<Metrics>();
  useEffect(() => {
    setBefore(last.current);
    last.current = now;
  }, [now]);
  if (!now) {
    return (
      <Panel title="Traffic of this edge">
        <Fault of={polled} />
      </Panel>
    );
  }
  const rate = (name: string) => now.rate(`tickwire_edge_${name}`, before);
  const total = (name: string) => now.sum(`tickwire_edge_${name}`);
  const perSecond = (value: number | undefined) => (value === undefined ? "–" : `${compact(value)}/s`);
  return (
    <Panel title="Traffic of this edge" aside={<Age at={at} limit={8_000} />}>
      <RealTimeMetrics label="Traffic">
        <MetricDisplay label="Connections" value={count(total("connections"))} />
        <MetricDisplay label="Channels held" value={count(total("channels"))} />
        <MetricDisplay label="In" value={perSecond(rate("publications_in"))} note="messages from the store" />
        <MetricDisplay label="Out" value={perSecond(rate("messages_out"))} note={`${bytes(rate("out_bytes"))}/s`} />
        <MetricDisplay label="Commands" value={perSecond(rate("commands"))} />
        <MetricDisplay label="Waiting" value={bytes(total("outbox_bytes"))} note="for slow readers" />
      </RealTimeMetrics>
      <h3>Slow clients and losses</h3>
      <RealTimeMetrics label="Slow clients">
        <MetricDisplay
          label="Closed as too slow"
          value={count(total("slow_closes"))}
          tone={total("slow_closes") ? "down" : "flat"}
        />
        <MetricDisplay label="Dropped (volatile)" value={count(total("dropped") ?? 0)} />
        <MetricDisplay label="Conflated (latest)" value={count(total("conflated"))} />
        <MetricDisplay label="Holes repaired" value={count(total("gaps"))} />
        <MetricDisplay label="Resets" value={count(total("resets"))} />
        <MetricDisplay label="Rate limited" value={count(total("rate_limited") ?? 0)} />
      </RealTimeMetrics>
      <Closes of={now} />
    </Panel>
  );
}

function Closes({ of }: { of: Metrics }) {
  const closes = of.by("tickwire_edge_closes", "code").filter(([, value]) => value > 0);
  const refusals = of.by("tickwire_edge_refusals", "reason").filter(([, value]) => value > 0);
  if (closes.length + refusals.length === 0) return null;
  return (
    <p className="muted small chips">
      {closes.map(([code, value]) => (
        <Badge key={code}>
          closed {code}: {count(value)}
        </Badge>
      ))}
      {refusals.map(([reason, value]) => (
        <Badge key={reason} tone="warn">
          refused, {words(reason)}: {count(value)}
        </Badge>
      ))}
    </p>
  );
}

interface ChannelEntry {
  channel: string;
  subscribers: number;
}

/** The channels in use, the busiest first. */
export function Channels({ onTap }: { onTap: (channel: string) => void }) {
  const [prefix, setPrefix] = useState("");
  const path = `/v1/channels?limit=500&prefix=${encodeURIComponent(prefix)}`;
  const polled = usePolled(() => call<{ channels: ChannelEntry[]; count: number }>("emitter", path), 3_000);
  const { value } = polled;
  return (
    <Panel
      title="Channels"
      flush
      aside={
        <input
          aria-label="Channels that begin with"
          placeholder="begins with…"
          value={prefix}
          maxLength={255}
          spellCheck={false}
          onChange={(event) => setPrefix(event.target.value)}
          onBlur={polled.again}
          onKeyDown={(event) => event.key === "Enter" && polled.again()}
        />
      }
    >
      {value ? (
        <DataTable<ChannelEntry>
          label="Channels in use"
          rows={value.channels}
          keyOf={({ channel }) => channel}
          initialOrder={{ column: "subscribers", descending: true }}
          height="short"
          empty={<Empty title="No channel has a subscriber" />}
          columns={[
            { id: "channel", title: "Channel", grow: 3, sortBy: (it) => it.channel, cell: (it) => it.channel },
            {
              id: "subscribers",
              title: "Subscribers",
              numeric: true,
              sortBy: (it) => it.subscribers,
              cell: (it) => count(it.subscribers),
            },
            {
              id: "tap",
              title: "Tap",
              isActions: true,
              cell: ({ channel }) => (
                <button
                  type="button"
                  className="button button-small"
                  onClick={() => onTap(channel)}
                  aria-label={`Tap ${channel}`}
                >
                  Tap
                </button>
              ),
            },
          ]}
        />
      ) : (
        <Fault of={polled} />
      )}
    </Panel>
  );
}
