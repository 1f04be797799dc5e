/** A strategy's parameters, as the algorithm service describes them. */

import { compare } from "../lib/decimals";
import { mistake, type NumberField, shown, wired } from "../lib/fields";

/** One of them. Default and bounds are decimal text, of a flag `true` or `false`. */
export interface Parameter {
  name: string;
  title: string;
  help: string;
  type: "integer" | "number" | "decimal" | "flag";
  unit: string;
  default: string;
  min: string;
  max: string;
  /** Another one that it must be greater than. */
  above?: string;
  /** Another one that it must not be greater than. */
  atMost?: string;
  isOptional?: boolean;
}

/** A strategy that can be asked for; one of an older service does not say what can be set. */
export interface Strategy {
  name: string;
  summary: string;
  parameters?: readonly Parameter[];
}

/** What was typed, by the parameter's name. */
export type Typed = Readonly<Record<string, string>>;

const UNITS: Record<string, { unit: string; places: number }> = {
  share: { unit: "%", places: 2 },
  milliseconds: { unit: "s", places: -3 },
  samples: { unit: "samples", places: 0 },
  levels: { unit: "levels", places: 0 },
  deviations: { unit: "σ", places: 0 },
};

/** How it is asked for. A unit that is not known here is shown as it is. */
export function fieldOf({ unit, type, isOptional, name, title, help, min, max, default: initial }: Parameter): NumberField {
  const { unit: mark, places } = UNITS[unit] ?? { unit: unit === "none" ? "" : unit, places: 0 };
  const is = { isWhole: type === "integer", isOptional: isOptional ?? false };
  return { name, title, help, unit: mark, places, min, max, default: initial, ...is };
}

/** What stands in the form at first. */
export const initial = (of: Parameter) => (of.type === "flag" ? of.default : shown(fieldOf(of), of.default));

/** What was typed for it, or stands there. */
export const typedOf = (of: Parameter, typed: Typed) => typed[of.name] ?? initial(of);

/** What cannot be taken, by the parameter's name. */
export function mistakes(parameters: readonly Parameter[], typed: Typed): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const parameter of parameters) {
    if (parameter.type === "flag") continue;
    const text = typedOf(parameter, typed);
    const fault = mistake(fieldOf(parameter), text) ?? againstOthers(parameter, text, parameters, typed);
    if (fault) found[parameter.name] = fault;
  }
  return found;
}

function againstOthers(parameter: Parameter, text: string, all: readonly Parameter[], typed: Typed): string | undefined {
  const against = (name: string | undefined, isRefused: (order: number) => boolean, words: string) => {
    const other = all.find((it) => it.name === name);
    const than = other && typedOf(other, typed);
    // What is wrong with the other one is told there.
    if (!other || !than || mistake(fieldOf(other), than)) return undefined;
    const order = compare(wired(fieldOf(parameter), text), wired(fieldOf(other), than));
    return isRefused(order) ? `${words} ${other.title.toLowerCase()}.` : undefined;
  };
  return (
    against(parameter.above, (order) => order <= 0, "Must be more than") ??
    against(parameter.atMost, (order) => order > 0, "At most as much as")
  );
}

/** What is said to the session service: only what differs from the defaults, each as its type is on the wire. */
export function chosen(parameters: readonly Parameter[], typed: Typed): Readonly<Record<string, unknown>> {
  const values: Record<string, unknown> = {};
  for (const parameter of parameters) {
    const text = typedOf(parameter, typed).trim();
    if (parameter.type === "flag") {
      if (text !== parameter.default) values[parameter.name] = text === "true";
      continue;
    }
    const wire = wired(fieldOf(parameter), text);
    if (text !== "" && compare(wire, parameter.default) === 0) continue;
    values[parameter.name] = text === "" ? null : parameter.type === "decimal" ? wire : Number(wire);
  }
  return values;
}
