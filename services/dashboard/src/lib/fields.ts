/** What a form asks for: one number, how it is shown, what it is on the wire, and within which bounds it makes sense. */

import { compare, isDecimal, shift } from "./decimals";

/** A number that a service takes as decimal text. Bounds and default are the wire's. */
export interface NumberField {
  name: string;
  title: string;
  help: string;
  /** Behind the number, such as `%`. */
  unit: string;
  /** The point moves by so many places to the right from the wire to the screen: two of a share that is shown in percent. */
  places: number;
  default: string;
  min: string;
  max: string;
  /** It may not be `min` itself. */
  isAboveMin?: boolean;
  /** It may not be `max` itself. */
  isBelowMax?: boolean;
  /** On the wire it has no fraction. */
  isWhole?: boolean;
  /** It may be left empty. */
  isOptional?: boolean;
}

/** Its text stays as it is where nothing is to be moved. */
const move = (text: string, places: number) => (places === 0 ? text : shift(text, places));

/** As it is shown, from the wire. */
export const shown = ({ places }: NumberField, wire: string) => move(wire, places);

/** As the wire has it, from what was typed. */
export const wired = ({ places }: NumberField, typed: string) => move(typed.trim(), -places);

/** Why what was typed cannot be taken. */
export function mistake(field: NumberField, typed: string): string | undefined {
  const text = typed.trim();
  if (text === "") return field.isOptional ? undefined : "A number is wanted here.";
  if (!isDecimal(text)) return "A number such as 2.5 is wanted here.";
  const { min, max, isAboveMin = false, isBelowMax = false } = field;
  const wire = wired(field, text);
  const isLow = compare(wire, min) < (isAboveMin ? 1 : 0);
  const isHigh = compare(wire, max) > (isBelowMax ? -1 : 0);
  if (isLow || isHigh)
    return `${words(field, min, isAboveMin ? "above" : "from")} ${words(field, max, isBelowMax ? "below" : "to")}.`;
  if (field.isWhole && !/^-?\d+$/.test(wire)) return "A whole number is wanted here.";
  return undefined;
}

function words(field: NumberField, wire: string, how: "above" | "from" | "below" | "to"): string {
  const text = `${shown(field, wire)}${field.unit === "%" ? " %" : ""}`;
  return { above: `Above ${text}`, from: `From ${text}`, below: `and below ${text}`, to: `to ${text}` }[how];
}
