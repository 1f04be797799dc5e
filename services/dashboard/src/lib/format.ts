/**
 * Numbers and times as people read them. Prices and quantities stay the decimal text that the server sent: they are grouped and cut,
 * never turned into floats. Floats serve charts and comparisons only.
 */

const parts = new Intl.NumberFormat().formatToParts(-1234567.8);
const GROUP = parts.find((part) => part.type === "group")?.value ?? ",";
const POINT = parts.find((part) => part.type === "decimal")?.value ?? ".";
const MINUS = "\u2212";
const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;

/** What has no value. */
export const NOTHING = "–";

/** A decimal's text, grouped by the reader's locale; with `digits` fraction digits, cut or filled, where given. */
export function decimal(text: unknown, digits?: number): string {
  const found = DECIMAL.exec(String(text ?? ""));
  if (!found) return NOTHING;
  const [, sign, whole = "0", fraction = ""] = found;
  const shown = digits === undefined ? fraction : fraction.slice(0, digits).padEnd(digits, "0");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, GROUP);
  const isZero = !/[1-9]/.test(whole + shown);
  return `${sign && !isZero ? MINUS : ""}${grouped}${shown ? POINT + shown : ""}`;
}

/** With its sign, also where it is positive. */
export function signed(text: unknown, digits?: number): string {
  const shown = decimal(text, digits);
  const isPositive = shown !== NOTHING && !shown.startsWith(MINUS) && /[1-9]/.test(shown);
  return isPositive ? `+${shown}` : shown;
}

/** Up, down or neither, as it is shown with `digits` fraction digits: for colour, never alone. */
export function direction(text: unknown, digits?: number): "up" | "down" | "flat" {
  const value = number(text);
  if (value === undefined || value === 0 || !/[1-9]/.test(decimal(text, digits))) return "flat";
  return value > 0 ? "up" : "down";
}

/** For charts, gauges and sorting. */
export function number(text: unknown): number | undefined {
  if (text === undefined || text === null || text === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** Fraction digits of the finest of some decimals: what a column of them needs. */
export function digitsOf(texts: readonly unknown[], most = 8): number {
  let digits = 0;
  for (const text of texts) digits = Math.max(digits, DECIMAL.exec(String(text ?? ""))?.[3]?.length ?? 0);
  return Math.min(digits, most);
}

/** Adds decimals exactly. */
export function sum(texts: readonly unknown[]): string {
  const found = texts.map((text) => DECIMAL.exec(String(text ?? ""))).filter((it) => it !== null);
  const digits = Math.max(0, ...found.map((it) => it[3]?.length ?? 0));
  let total = 0n;
  for (const [, sign, whole = "0", fraction = ""] of found) {
    const units = BigInt(whole + fraction.padEnd(digits, "0"));
    total += sign ? -units : units;
  }
  const text = (total < 0n ? -total : total).toString().padStart(digits + 1, "0");
  const cut = text.length - digits;
  return `${total < 0n ? "-" : ""}${text.slice(0, cut)}${digits ? `.${text.slice(cut)}` : ""}`;
}

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const compactFormat = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const percentFormat = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });

/** A count. */
export const count = (value: number | undefined) => (value === undefined ? NOTHING : whole.format(value));
/** A count with what is counted; nothing where it is not known. */
export const counted = (value: number | undefined, noun: string) =>
  value === undefined ? "" : `${whole.format(value)} ${noun}${value === 1 ? "" : "s"}`;
/** A large number, shortened. */
export const compact = (value: number | undefined) => (value === undefined ? NOTHING : compactFormat.format(value));
/** A share between 0 and 1. */
export const percent = (value: number | undefined) => (value === undefined ? NOTHING : percentFormat.format(value));

/** Bytes, in powers of 1,000. */
export function bytes(value: number | undefined): string {
  if (value === undefined) return NOTHING;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size >= 100 || unit === 0 ? size.toFixed(0) : size.toFixed(1)} ${units[unit]}`;
}

/** A span of milliseconds in its largest sensible unit. */
export function span(ms: number | undefined): string {
  if (ms === undefined || !Number.isFinite(ms)) return NOTHING;
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  if (ms < 86_400_000) {
    const minutes = Math.floor((ms % 3_600_000) / 60_000);
    return `${Math.floor(ms / 3_600_000)} h${minutes > 0 ? ` ${minutes} min` : ""}`;
  }
  return `${Math.floor(ms / 86_400_000)} d`;
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The time of day. */
export const clock = (ms: number | undefined) => (ms ? clockFormat.format(ms) : NOTHING);
/** Date and time. */
export const moment = (ms: number | undefined) => (ms ? dateFormat.format(ms) : NOTHING);

/** `emergency_stopped` → `emergency stopped`. */
export const words = (name: unknown) => String(name ?? "").replaceAll("_", " ");

/** `lossLimit` → `Loss limit`; `entryShare`, `finalPnL` and `holdMs` as people say them. */
export function sentence(name: string): string {
  const apart = name
    .replace(/Ms$/, "")
    .replace(/PnL/g, " P&L")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replaceAll("_", " ")
    .trim();
  const lower = apart.replace(/[A-Z][a-z]+/g, (word) => word.toLowerCase());
  return lower.charAt(0).toUpperCase() + lower.slice(1);
}
