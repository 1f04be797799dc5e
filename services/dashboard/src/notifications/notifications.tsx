import { type Notification, useRealTimeNotifications } from "@tickwire/client/react";
import { useState } from "react";
import { useSearchParams } from "react-router";
import { words } from "../lib/format";
import { Age, Badge, Empty, Panel, type Tone } from "../parts/parts";
import { PreferencesPanel } from "./preferences";
import { levelOf, textOf, titleOf } from "./text";

const FILTERS = { all: "All", unread: "Unread", owed: "To acknowledge" } as const;
type Filter = keyof typeof FILTERS;

/** The inbox with its filters, and what the user wants to be told of. */
export default function Notifications() {
  const { notifications, unreadCount, markAsRead, clearAll, acknowledge } = useRealTimeNotifications();
  const [query, setQuery] = useSearchParams();
  const [type, setType] = useState("");
  const [fault, setFault] = useState<string>();
  const asked = query.get("show");
  const filter: Filter = asked === "unread" || asked === "owed" ? asked : "all";
  const types = [...new Set(notifications.map((it) => it.type))].sort();
  const shown = notifications.filter((it) => matches(it, filter) && (type === "" || it.type === type));
  const attempt = (work: Promise<void>) => {
    setFault(undefined);
    work.catch((error: unknown) => setFault(error instanceof Error ? error.message : String(error)));
  };
  return (
    <div className="columns columns-wide">
      <h1 className="sr-only">Notifications</h1>
      <Panel
        title="Notifications"
        flush
        aside={
          <>
            <span className="muted">{unreadCount} unread</span>
            <button
              type="button"
              className="button button-small"
              disabled={unreadCount === 0}
              onClick={() => attempt(markAsRead())}
            >
              Mark all read
            </button>
            <button
              type="button"
              className="button button-small"
              disabled={notifications.length === 0}
              onClick={() => attempt(clearAll())}
            >
              Clear
            </button>
          </>
        }
      >
        <div className="toolbar">
          <fieldset className="segments">
            <legend className="sr-only">Show</legend>
            {Object.entries(FILTERS).map(([value, label]) => (
              <label key={value}>
                <input
                  type="radio"
                  name="show"
                  checked={filter === value}
                  onChange={() => setQuery(value === "all" ? {} : { show: value }, { replace: true })}
                />
                {label}
              </label>
            ))}
          </fieldset>
          <select aria-label="Kind" value={type} onChange={(event) => setType(event.target.value)}>
            <option value="">Every kind</option>
            {types.map((it) => (
              <option key={it} value={it}>
                {words(it)}
              </option>
            ))}
          </select>
        </div>
        {fault && (
          <p className="fault" role="alert">
            {fault}
          </p>
        )}
        {shown.length === 0 ? (
          <Empty title={notifications.length === 0 ? "Your inbox is empty" : "Nothing matches"}>
            {notifications.length === 0 &&
              "Alerts of your sessions and messages to you appear here, also those sent while you were away."}
          </Empty>
        ) : (
          <ul className="inbox">
            {shown.map((it) => (
              <Item
                key={it.position}
                of={it}
                onRead={() => attempt(markAsRead(it.id))}
                onAcknowledge={() => attempt(acknowledge(it.id))}
              />
            ))}
          </ul>
        )}
      </Panel>
      <PreferencesPanel />
    </div>
  );
}

function matches({ isRead, needsAcknowledgement }: Notification, filter: Filter): boolean {
  if (filter === "owed") return needsAcknowledgement;
  return filter === "all" || !isRead || needsAcknowledgement;
}

const TONES: Record<string, Tone | "info"> = {
  critical: "bad",
  emergency: "bad",
  high: "warn",
  warning: "warn",
  medium: "info",
};

function Item({ of, onRead, onAcknowledge }: { of: Notification; onRead: () => void; onAcknowledge: () => void }) {
  const isOpen = !of.isRead || of.needsAcknowledgement;
  return (
    <li className={`inbox-item ${isOpen ? "inbox-unread" : ""} ${of.needsAcknowledgement ? "inbox-owed" : ""}`}>
      <div className="inbox-text">
        <p className="inbox-title">
          <Badge tone={TONES[levelOf(of)] ?? "idle"}>{levelOf(of)}</Badge>
          <strong>{titleOf(of)}</strong>
          {isOpen && <span className="sr-only">, unread</span>}
        </p>
        <p>{textOf(of)}</p>
        <p className="muted small">
          {words(of.type)} · <Age at={of.time} limit={Number.POSITIVE_INFINITY} />
        </p>
      </div>
      {of.needsAcknowledgement ? (
        <button type="button" className="button button-danger button-small" onClick={onAcknowledge}>
          Acknowledge
        </button>
      ) : (
        !of.isRead && (
          <button type="button" className="button button-small" title="Marks this and all older ones as read" onClick={onRead}>
            Read
          </button>
        )
      )}
    </li>
  );
}
