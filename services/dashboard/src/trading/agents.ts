/** Agents that may speak up in a session: who, and what becomes of what they say. */

import { mistake, type NumberField, wired } from "../lib/fields";

/** What happens to an agent's signal, as the algorithm knows it. */
export const AUTONOMY = [
  ["approval", "Waits for your approval"],
  ["advisory", "Is shown only"],
  ["autonomous", "Is executed"],
] as const;

/** One of them as it is typed; `id` is the form's own. */
export interface TypedAgent {
  id: number;
  name: string;
  autonomy: (typeof AUTONOMY)[number][0];
  /** Greatest quantity of one signal; none where empty. */
  quantity: string;
}

/** The algorithm's own bound. */
export const AGENTS_MAX = 16;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;

export const QUANTITY: NumberField = {
  name: "quantity",
  title: "Greatest quantity",
  help: "",
  unit: "",
  places: 0,
  default: "",
  min: "0",
  max: "1000000000000",
  isAboveMin: true,
  isOptional: true,
};

/** What cannot be taken, by the agent's id and field. */
export function mistakes(agents: readonly TypedAgent[]): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { id, name, quantity } of agents) {
    const text = name.trim();
    if (!NAME.test(text)) found[`${id}.name`] = "A name of letters, digits, points and dashes is wanted here.";
    else if (agents.some((it) => it.id !== id && it.name.trim() === text))
      found[`${id}.name`] = "There is another one of this name.";
    const fault = mistake(QUANTITY, quantity);
    if (fault) found[`${id}.quantity`] = fault;
  }
  return found;
}

/** What is said of them to the session service; nothing of none. */
export function agentsOf(agents: readonly TypedAgent[]): Readonly<Record<string, unknown>> | undefined {
  if (agents.length === 0) return undefined;
  return Object.fromEntries(
    agents.map(({ name, autonomy, quantity }) => [
      name.trim(),
      { autonomy, ...(quantity.trim() && { quantityMax: wired(QUANTITY, quantity) }) },
    ]),
  );
}
