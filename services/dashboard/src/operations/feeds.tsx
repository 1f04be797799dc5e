import { count, span, words } from "../lib/format";
import { call, usePolled } from "../lib/services";
import { Age, Badge, Empty, Feed, Panel, StatusDot, type Tone } from "../parts/parts";
import { DataTable } from "../parts/table";
import { Fault } from "./cluster";

interface Connection {
  name: string;
  state: string;
  topics: number;
  replayed: boolean;
  reconnects: number;
  lastFault?: string;
}

interface SymbolStatus {
  book?: string;
  ageMs?: number;
  suspected: number;
  resyncs: number;
  updates: number;
}

interface Venue {
  connections?: Record<string, Connection>;
  symbols?: Record<string, SymbolStatus>;
}

const CONNECTION: Record<string, Tone> = {
  CONNECTED: "good",
  CONNECTING: "busy",
  RECONNECTING: "warn",
  ERROR: "bad",
  DISCONNECTED: "idle",
};
const BOOK: Record<string, Tone> = { live: "good", suspect: "bad" };

/** How the exchanges' feeds stand. */
export function Feeds() {
  const polled = usePolled(() => call<{ venues?: Record<string, Venue> }>("feed", "/v1/feeds"), 3_000);
  const { value, error, at } = polled;
  if (error?.kind === "absent") {
    return (
      <Panel title="Feeds">
        <Empty title="No feed service is configured">
          This deployment names no feed in edge.dashboard_services, so its health cannot be shown here.
        </Empty>
      </Panel>
    );
  }
  if (!value) {
    return (
      <Panel title="Feeds">
        <Fault of={polled} />
      </Panel>
    );
  }
  const venues = Object.entries(value.venues ?? {});
  const rows = venues.flatMap(([venue, { symbols = {} }]) =>
    Object.entries(symbols).map(([symbol, status]) => ({ venue, symbol, ...status })),
  );
  return (
    <Panel title="Feeds" aside={<Age at={at} limit={10_000} />} flush>
      <Feed label="Connections to exchanges" className="feed-short">
        {venues.flatMap(([venue, { connections = {} }]) =>
          Object.values(connections).map((it) => (
            <li key={`${venue} ${it.name}`}>
              <p className="feed-head">
                <StatusDot tone={CONNECTION[it.state] ?? "idle"}>{words(it.state.toLowerCase())}</StatusDot>
                <strong>{it.name}</strong>
                <span className="muted num">{count(it.topics)} topics</span>
                {it.reconnects > 0 && <span className="muted num">{count(it.reconnects)} reconnects</span>}
                {it.replayed && <Badge tone="info">replayed</Badge>}
              </p>
              {it.lastFault && <p className="muted small">{it.lastFault}</p>}
            </li>
          )),
        )}
      </Feed>
      <DataTable
        label="Symbols that are fed"
        rows={rows}
        keyOf={(it) => `${it.venue}:${it.symbol}`}
        height="short"
        empty={<Empty title="No symbol is fed" />}
        columns={[
          {
            id: "symbol",
            title: "Symbol",
            grow: 2,
            sortBy: (it) => `${it.venue}:${it.symbol}`,
            cell: (it) => `${it.venue}:${it.symbol}`,
          },
          {
            id: "book",
            title: "Book",
            sortBy: (it) => it.book,
            cell: (it) => (it.book ? <StatusDot tone={BOOK[it.book] ?? "busy"}>{words(it.book)}</StatusDot> : "–"),
          },
          { id: "age", title: "Age", numeric: true, sortBy: (it) => it.ageMs, cell: (it) => span(it.ageMs) },
          {
            id: "suspected",
            title: "Suspected",
            numeric: true,
            sortBy: (it) => it.suspected,
            cell: (it) => count(it.suspected),
          },
          {
            id: "resyncs",
            title: "Resyncs",
            numeric: true,
            wideOnly: true,
            sortBy: (it) => it.resyncs,
            cell: (it) => count(it.resyncs),
          },
        ]}
      />
    </Panel>
  );
}
