/** Where risk alerts of a session begin: risk's rules, how they are asked for, and what it is told. */

import { compare } from "../lib/decimals";
import { mistake, type NumberField, shown, wired } from "../lib/fields";

/** A warning and a critical alert begin at these, decimal text. */
interface Levels {
  warning: string;
  critical: string;
}

const RULE_NAMES = ["lossLimit", "timeLimit", "exposure", "volatility", "correlation", "staleSeconds"] as const;
export type RuleName = (typeof RULE_NAMES)[number];

/** As the risk service has them. */
export type Thresholds = Record<RuleName, Levels> & { release: string; repeatSeconds: number };

/** What was typed, by `rule.level` and by the names of the two that have no levels. */
export type Typed = Readonly<Record<string, string>>;

/** A rule in words, and its values' bounds; both levels have them. */
export interface Rule extends Omit<NumberField, "name" | "default"> {
  name: RuleName;
}

const SHARE = { unit: "%", places: 2, min: "0", isAboveMin: true };

/** In the order in which they are asked for. */
export const RULES: readonly Rule[] = [
  {
    ...SHARE,
    name: "lossLimit",
    title: "Loss limit used",
    help: "Part of the loss limit that is lost. At 100 % the session is stopped, whatever stands here.",
    max: "1",
    isBelowMax: true,
  },
  { ...SHARE, name: "timeLimit", title: "Time used", help: "Part of the time limit that is over.", max: "1", isBelowMax: true },
  {
    ...SHARE,
    name: "exposure",
    title: "Exposure",
    help: "Part of the exposure limit (the capital, where there is none); prices may carry positions over it.",
    max: "1000",
  },
  {
    ...SHARE,
    name: "volatility",
    title: "Volatility",
    help: "By how much an instrument typically moves in a minute.",
    max: "10",
  },
  {
    name: "correlation",
    title: "Correlation",
    help: "Of two open positions, up to 1 where both would lose together.",
    unit: "",
    places: 0,
    min: "0",
    isAboveMin: true,
    max: "1",
  },
  {
    name: "staleSeconds",
    title: "Age of prices",
    help: "Age of an instrument's newest price.",
    unit: "s",
    places: 0,
    min: "0",
    isAboveMin: true,
    max: "86400",
  },
];

/** What every session begins with, as risk has it. */
export const DEFAULTS: Thresholds = {
  lossLimit: { warning: "0.8", critical: "0.95" },
  timeLimit: { warning: "0.8", critical: "0.95" },
  exposure: { warning: "1.05", critical: "1.25" },
  volatility: { warning: "0.01", critical: "0.03" },
  correlation: { warning: "0.85", critical: "0.95" },
  staleSeconds: { warning: "10", critical: "30" },
  release: "0.05",
  repeatSeconds: 60,
};

export const RELEASE: NumberField = {
  name: "release",
  title: "Margin",
  help: "How far below its threshold a value must fall before it can alert again.",
  unit: "%",
  places: 2,
  default: DEFAULTS.release,
  min: "0",
  max: "0.5",
};

export const REPEAT: NumberField = {
  name: "repeatSeconds",
  title: "Quiet time",
  help: "The same alert again within this time is counted, not sent.",
  unit: "s",
  places: 0,
  default: String(DEFAULTS.repeatSeconds),
  min: "0",
  max: "86400",
  isWhole: true,
};

/** A rule's field of one level. */
export const levelField = (rule: Rule, level: keyof Levels): NumberField => ({
  ...rule,
  name: `${rule.name}.${level}`,
  default: DEFAULTS[rule.name][level],
});

/** The form of some thresholds. */
export function typedOf(thresholds: Thresholds): Typed {
  const typed: Record<string, string> = {
    release: shown(RELEASE, thresholds.release),
    repeatSeconds: String(thresholds.repeatSeconds),
  };
  for (const rule of RULES) {
    for (const level of ["warning", "critical"] as const) {
      typed[`${rule.name}.${level}`] = shown(levelField(rule, level), thresholds[rule.name][level]);
    }
  }
  return typed;
}

/** What cannot be taken, by the field's name. */
export function mistakes(typed: Typed): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  const check = (field: NumberField) => {
    const fault = mistake(field, typed[field.name] ?? "");
    if (fault) found[field.name] = fault;
    return fault === undefined;
  };
  for (const rule of RULES) {
    const [warning, critical] = [levelField(rule, "warning"), levelField(rule, "critical")];
    const areNumbers = [check(warning), check(critical)].every(Boolean);
    if (areNumbers && compare(typed[critical.name] ?? "", typed[warning.name] ?? "") < 0) {
      found[critical.name] = "Not below the warning.";
    }
  }
  check(RELEASE);
  check(REPEAT);
  return found;
}

/** What the risk service is told: all of them, as decimal text. */
export function thresholdsOf(typed: Typed): Thresholds {
  const wire = (field: NumberField) => wired(field, typed[field.name] ?? "");
  const levels = (rule: Rule): Levels => ({
    warning: wire(levelField(rule, "warning")),
    critical: wire(levelField(rule, "critical")),
  });
  const rules = Object.fromEntries(RULES.map((rule) => [rule.name, levels(rule)])) as Record<RuleName, Levels>;
  return { ...rules, release: wire(RELEASE), repeatSeconds: Number(wire(REPEAT)) };
}

/** Whether anything stands there that is not what every session begins with. */
export function areChanged(typed: Typed): boolean {
  const initial = typedOf(DEFAULTS);
  return Object.keys(initial).some((name) => (typed[name] ?? "").trim() !== initial[name]);
}
