import { useMemo, useState } from "react";
import { shift } from "../lib/decimals";
import { decimal, words } from "../lib/format";
import { call, usePolled } from "../lib/services";
import { Age, Badge, Empty, Feed, Panel, type Tone } from "../parts/parts";
import { ThresholdsDialog } from "./thresholds-dialog";

/** Where one value stands against its thresholds. */
interface Standing {
  rule: string;
  subject?: string;
  value: string;
  warning: string;
  critical: string;
  level: "warning" | "critical" | "emergency" | null;
  /** In words. */
  text: string;
}

interface Risk {
  isStopping: boolean;
  standings: readonly Standing[];
}

const RISK_MS = 2_000;
const TONES: Record<string, Tone> = { warning: "warn", critical: "bad", emergency: "bad" };
/** Rules whose values are parts of a whole. */
const SHARES = ["loss_limit", "time_limit", "exposure", "volatility"];

/** A value as its rule is read. */
export function levelText(rule: string, value: string): string {
  if (SHARES.includes(rule)) return `${decimal(shift(value, 2))} %`;
  return rule === "stale_market_data" ? `${decimal(value)} s` : decimal(value);
}

/** Where a session's values stand, as risk sees them, and where its alerts begin. Nothing where there is no such service. */
export function RiskPanel({ session }: { session: string }) {
  const ask = useMemo(() => () => call<Risk>("risk", `/v1/sessions/${encodeURIComponent(session)}/risk`), [session]);
  const { value, error, at } = usePolled(ask, RISK_MS);
  const [isAsked, setAsked] = useState(false);
  if (error?.kind === "absent") return null;
  const standings = value?.standings ?? [];
  return (
    <Panel
      title="Risk"
      flush
      aside={
        <>
          {value && <Age at={at} limit={4 * RISK_MS} />}
          <button type="button" className="button button-small" disabled={!value} onClick={() => setAsked(true)}>
            Thresholds
          </button>
        </>
      }
    >
      {standings.length === 0 ? (
        <Empty title={value ? "Nothing to watch yet" : error ? "Not under watch" : "Loading…"}>
          {value ? "Values appear with the first trade and the first prices." : error?.message}
        </Empty>
      ) : (
        <Feed label="Values under watch">
          {standings.map(({ rule, subject, value, warning, critical, level, text }) => (
            <li key={`${rule} ${subject ?? ""}`}>
              <p className="feed-head">
                <Badge tone={level ? (TONES[level] ?? "warn") : "good"}>{level ?? "ok"}</Badge>
                <strong>{words(rule)}</strong>
                {subject && <span className="muted">{subject}</span>}
                <span className="num feed-time">{levelText(rule, value)}</span>
              </p>
              <p className="small">
                {text}; warning from <span className="num">{levelText(rule, warning)}</span>, critical from{" "}
                <span className="num">{levelText(rule, critical)}</span>
              </p>
            </li>
          ))}
        </Feed>
      )}
      {isAsked && <ThresholdsDialog session={session} onClose={() => setAsked(false)} />}
    </Panel>
  );
}
