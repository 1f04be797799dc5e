import { type FormEvent, useState } from "react";
import { moment } from "../lib/format";
import { call, usePolled } from "../lib/services";
import { Confirm } from "../parts/confirm";
import { Empty, Panel } from "../parts/parts";
import { DataTable } from "../parts/table";
import { Fault } from "./cluster";

interface Ban {
  address?: string;
  userId?: string;
  reason: string;
  expiresAt: number;
}

type Order = "disconnect" | "revoke";

/** Ends people's access, and shows who is kept out. */
export function Access() {
  const [user, setUser] = useState("");
  const [order, setOrder] = useState<Order>();
  const [said, setSaid] = useState("");
  const id = user.trim();
  const carryOut = async (what: Order) => {
    if (what === "disconnect") await call("emitter", `/v1/users/${encodeURIComponent(id)}/disconnect`, {});
    else await call("emitter", "/v1/tokens/revoke", { userId: id });
    setSaid(
      what === "disconnect"
        ? `The connections of ${id} are closed on every node.`
        : `All tokens of ${id} issued until now are revoked.`,
    );
  };
  return (
    <Panel title="Access">
      <form className="inline-form" onSubmit={(event: FormEvent) => event.preventDefault()}>
        <input
          aria-label="User"
          placeholder="user id"
          value={user}
          maxLength={128}
          spellCheck={false}
          onChange={(event) => setUser(event.target.value)}
        />
        <button type="button" className="button" disabled={!id} onClick={() => setOrder("disconnect")}>
          Disconnect
        </button>
        <button type="button" className="button button-danger" disabled={!id} onClick={() => setOrder("revoke")}>
          Revoke tokens
        </button>
      </form>
      <p className="muted small" role="status">
        {said}
      </p>
      <Bans />
      {order && (
        <Confirm
          title={order === "disconnect" ? `Disconnect ${id}?` : `Revoke all tokens of ${id}?`}
          action={order === "disconnect" ? "Disconnect" : "Revoke"}
          danger
          onClose={() => setOrder(undefined)}
          onConfirm={() => carryOut(order)}
        >
          {order === "disconnect" ? (
            <p>Every connection of this user is closed. They may sign in again with their token.</p>
          ) : (
            <p>Every token issued to this user until now stops working within a second, on every node. They need a new one.</p>
          )}
        </Confirm>
      )}
    </Panel>
  );
}

function Bans() {
  const polled = usePolled(() => call<{ bans: Ban[] }>("emitter", "/v1/bans"), 5_000);
  if (!polled.value) return <Fault of={polled} />;
  return (
    <DataTable<Ban>
      label="Users and addresses kept out"
      rows={polled.value.bans}
      keyOf={({ address, userId }) => address ?? userId ?? ""}
      height="short"
      empty={<Empty title="Nobody is banned" />}
      columns={[
        { id: "who", title: "Who", grow: 2, sortBy: (it) => it.userId ?? it.address, cell: (it) => it.userId ?? it.address },
        { id: "reason", title: "Why", grow: 2, cell: (it) => it.reason },
        { id: "until", title: "Until", numeric: true, sortBy: (it) => it.expiresAt, cell: (it) => moment(it.expiresAt) },
      ]}
    />
  );
}
