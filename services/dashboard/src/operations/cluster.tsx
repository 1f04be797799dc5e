import { useMemo, useState } from "react";
import { compact, count, NOTHING, span } from "../lib/format";
import { call, type Polled, usePolled } from "../lib/services";
import { Age, Badge, Empty, Panel, StatusDot } from "../parts/parts";
import { DataTable } from "../parts/table";
import type { NodeEntry } from "./fleet";
import type { useFleet } from "./use-fleet";

/** What a poll found wrong, where there is nothing to show. */
export function Fault({ of }: { of: Polled<unknown> }) {
  if (of.error?.kind === "forbidden") return <Empty title="Not for this token">{of.error.message}</Empty>;
  return <Empty title={of.error ? "Nothing to show" : "Loading…"}>{of.error?.message}</Empty>;
}

/** The edges there are. */
export function Nodes({ of: { polled, nodes } }: { of: ReturnType<typeof useFleet> }) {
  const { value, error, at } = polled;
  const activity = useMemo(() => new Map(nodes), [nodes]);
  const out = ({ node }: NodeEntry) => activity.get(node)?.rates.messagesOut;
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
              id: "out",
              title: "Out",
              numeric: true,
              sortBy: out,
              cell: (it) => (out(it) === undefined ? NOTHING : `${compact(out(it))}/s`),
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
