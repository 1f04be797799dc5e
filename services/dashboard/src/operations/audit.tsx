import { clock, words } from "../lib/format";
import { useLog } from "../lib/log";
import { Badge, Empty, Feed, Panel } from "../parts/parts";

interface AuditData {
  who?: string;
  by?: string;
  action?: string;
  type?: string;
  /** Whether the cluster took it. */
  done?: boolean;
  time?: number;
  [field: string]: unknown;
}

/** What operators did, newest first. */
export function Audit() {
  const log = useLog<AuditData>("audit");
  const newest = log.messages.slice(-100).reverse();
  return (
    <Panel title="Audit" flush>
      {newest.length === 0 ? (
        <Empty title={log.isLoading ? "Loading…" : "Nothing was done yet"}>{log.error?.message}</Empty>
      ) : (
        <Feed label="Administrative calls" className="feed-short">
          {newest.map(({ data, position, time }) => {
            const { who, by, action, type, done, time: _, ...more } = data;
            return (
              <li key={position ?? time}>
                <p className="feed-head">
                  <strong>{words(action ?? type)}</strong>
                  <span className="muted">{who ?? by}</span>
                  {done === false && <Badge tone="bad">failed</Badge>}
                  <span className="muted num feed-time">{clock(time)}</span>
                </p>
                <p className="muted small">
                  {Object.entries(more)
                    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
                    .join(" · ")}
                </p>
              </li>
            );
          })}
        </Feed>
      )}
    </Panel>
  );
}
