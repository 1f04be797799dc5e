import { type FormEvent, useState } from "react";
import { count, words } from "../lib/format";
import { call, usePolled } from "../lib/services";
import { Age, Badge, Empty, Panel } from "../parts/parts";
import { DataTable } from "../parts/table";
import { Fault } from "./cluster";

interface AlertEntry {
  alertId: string;
  status: string;
  deliveredTo: number;
  time: number;
  priority: string;
  data: { type?: string; message?: string; title?: string; sessionId?: string };
}

/** A user's alerts that nobody acknowledged. Each look at them is written into the audit log, so it takes a click. */
export function Alerts() {
  const [user, setUser] = useState("");
  const [asked, setAsked] = useState({ user: "", time: 0 });
  const id = user.trim();
  const show = (event: FormEvent) => {
    event.preventDefault();
    setAsked({ user: id, time: Date.now() });
  };
  return (
    <Panel title="Unacknowledged alerts" flush>
      <form className="inline-form toolbar" onSubmit={show}>
        <input
          aria-label="Alerts of user"
          placeholder="user id"
          value={user}
          maxLength={128}
          spellCheck={false}
          onChange={(event) => setUser(event.target.value)}
        />
        <button type="submit" className="button button-small" disabled={!id}>
          Show
        </button>
      </form>
      {asked.user ? (
        <OfUser user={asked.user} key={asked.time} />
      ) : (
        <Empty title="Whose alerts?">
          Alerts are kept by user: name one to see what they have not acknowledged. That you looked is in the audit below.
        </Empty>
      )}
    </Panel>
  );
}

function OfUser({ user }: { user: string }) {
  const polled = usePolled(
    () => call<{ alerts: AlertEntry[] }>("emitter", `/v1/users/${encodeURIComponent(user)}/alerts?limit=200`),
    undefined,
  );
  if (!polled.value) return <Fault of={polled} />;
  const open = polled.value.alerts.filter(({ status }) => status !== "acknowledged");
  return (
    <DataTable<AlertEntry>
      label={`Unacknowledged alerts of ${user}`}
      rows={open}
      keyOf={({ alertId }) => alertId}
      height="short"
      empty={<Empty title={`${user} owes no acknowledgement`} />}
      columns={[
        {
          id: "priority",
          title: "Priority",
          cell: (it) => <Badge tone={it.priority === "critical" ? "bad" : "info"}>{it.priority}</Badge>,
        },
        { id: "what", title: "What", fills: true, cell: ({ data }) => data.title ?? data.message ?? words(data.type) },
        {
          id: "status",
          title: "Stands",
          wideOnly: true,
          sortBy: (it) => it.status,
          cell: (it) => `${it.status}, ${count(it.deliveredTo)} ${it.deliveredTo === 1 ? "device" : "devices"}`,
        },
        { id: "age", title: "Age", numeric: true, sortBy: (it) => -it.time, cell: (it) => <Age at={it.time} limit={60_000} /> },
      ]}
    />
  );
}
