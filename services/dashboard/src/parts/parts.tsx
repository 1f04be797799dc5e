import { type ReactNode, useId } from "react";
import { useNow } from "../lib/clock";
import { moment, NOTHING, span } from "../lib/format";

/** Good, at work, needs a look, bad, nothing. */
export type Tone = "good" | "busy" | "warn" | "bad" | "idle";

/** A state as colour, shape and words: colour alone says nothing to some. */
export function StatusDot({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span className={`dot dot-${tone}`}>
      <i aria-hidden="true" />
      {children}
    </span>
  );
}

/** A part of a screen with its heading. */
export function Panel(props: { title: string; aside?: ReactNode; children: ReactNode; className?: string; flush?: boolean }) {
  const { title, aside, children, className = "", flush } = props;
  const heading = useId();
  return (
    <section className={`panel ${flush ? "panel-flush" : ""} ${className}`} aria-labelledby={heading}>
      <header>
        <h2 id={heading}>{title}</h2>
        {aside && <div className="panel-aside">{aside}</div>}
      </header>
      <div className="panel-body">{children}</div>
    </section>
  );
}

/** One figure with its name; its width does not change with its digits. */
export function MetricDisplay(props: {
  label: string;
  value: ReactNode;
  tone?: "up" | "down" | "flat";
  note?: ReactNode;
  big?: boolean;
}) {
  const { label, value, tone = "flat", note, big } = props;
  return (
    <div className={`metric ${big ? "metric-big" : ""}`}>
      <dt>{label}</dt>
      <dd className={`num ${tone}`}>{value ?? NOTHING}</dd>
      {note !== undefined && <dd className="metric-note">{note}</dd>}
    </div>
  );
}

/** Figures side by side; `beside` is what stands among them and is no figure with a name. */
export function RealTimeMetrics({ children, label, beside }: { children: ReactNode; label: string; beside?: ReactNode }) {
  return (
    <div className="metrics">
      <dl aria-label={label}>{children}</dl>
      {beside}
    </div>
  );
}

/** How old something is; beyond `limit` it looks old. Never announced: it changes all the time. */
export function Age({ at, limit = 15_000, prefix = "" }: { at: number | undefined; limit?: number; prefix?: string }) {
  const now = useNow();
  if (at === undefined) return <span className="age num">{NOTHING}</span>;
  const age = Math.max(0, now - at);
  return (
    <time className={`age num ${age > limit ? "age-old" : ""}`} dateTime={new Date(at).toISOString()} title={moment(at)}>
      {prefix}
      {age < 1_000 ? "now" : span(age)}
    </time>
  );
}

/** A list that scrolls within its panel, newest first; reachable by keyboard. */
export function Feed(props: { label: string; children: ReactNode; className?: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard.
    <div className={`feed-scroll ${props.className ?? ""}`} role="region" aria-label={props.label} tabIndex={0}>
      <ol className="feed">{props.children}</ol>
    </div>
  );
}

/** Why there is nothing, and what would change that. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children && <p>{children}</p>}
    </div>
  );
}

/** A share between 0 and 1 against its limit. */
export function Gauge({ value, label, text }: { value: number | undefined; label: string; text: string }) {
  const share = Math.min(1, Math.max(0, value ?? 0));
  const tone = share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : "good";
  return (
    <div className="gauge">
      <div className="gauge-label">
        <span>{label}</span>
        <span className="num">{text}</span>
      </div>
      {/* As an SVG, since the content security policy has no inline styles. */}
      <svg
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share * 100)}
        aria-valuetext={text}
        className={`gauge-bar gauge-${tone}`}
        viewBox="0 0 100 4"
        preserveAspectRatio="none"
      >
        <rect className="gauge-track" width="100" height="4" rx="1" />
        <rect className="gauge-fill" width={share * 100} height="4" rx="1" />
      </svg>
    </div>
  );
}

/** A small mark with words. */
export function Badge({ tone = "idle", children }: { tone?: Tone | "info"; children: ReactNode }) {
  return <span className={`badge badge-${tone}`}>{children}</span>;
}
