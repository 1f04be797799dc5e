import { useState } from "react";
import { useNow } from "../lib/clock";
import { clock, moment, span, words } from "../lib/format";
import { useLog } from "../lib/log";

interface Notice {
  type: string;
  level?: string;
  message?: string;
  startsAt?: number;
  endsAt?: number;
  status?: string;
  timestamp?: number;
}

/** Plain notices are shown this long, milliseconds; maintenance until it is over. */
const SHOWN_MS = 10 * 60_000;

/** Notices of the platform: maintenance, and whether the backplane works. */
export function SystemNotices() {
  const { messages } = useLog<Notice>("system");
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const now = useNow();
  const backplane = messages.findLast(({ data }) => data.type === "backplane_status");
  const notices = messages
    .filter(({ data }) => data.type !== "backplane_status" && data.message)
    .map((it) => ({ ...it, id: it.position ?? String(it.time) }))
    .filter(({ data, time, id }) => !hidden.has(id) && (data.endsAt ? now < data.endsAt : now - time < SHOWN_MS))
    .slice(-3);
  return (
    <>
      {backplane?.data.status === "unavailable" && (
        <div className="banner banner-warn" role="status">
          <strong>Degraded:</strong> the message store is not reachable since {clock(backplane.time)}. New messages are late;
          none is lost.
        </div>
      )}
      {notices.map(({ id, data, time }) => (
        <div
          key={id}
          className={`banner ${data.level === "error" || data.level === "critical" ? "banner-bad" : "banner-info"}`}
          role="status"
        >
          <span>
            <strong>{data.startsAt || data.endsAt ? "Maintenance" : words(data.level ?? "notice")}:</strong> {data.message}{" "}
            <When of={data} time={time} now={now} />
          </span>
          <button
            type="button"
            className="icon-button"
            aria-label="Hide this notice"
            onClick={() => setHidden(new Set([...hidden, id]))}
          >
            ×
          </button>
        </div>
      ))}
    </>
  );
}

function When({ of, time, now }: { of: Notice; time: number; now: number }) {
  if (of.startsAt && now < of.startsAt)
    return (
      <span className="muted">
        Begins {moment(of.startsAt)}, in {span(of.startsAt - now)}.
      </span>
    );
  if (of.endsAt) return <span className="muted">Until {moment(of.endsAt)}.</span>;
  return <span className="muted">{clock(time)}</span>;
}
