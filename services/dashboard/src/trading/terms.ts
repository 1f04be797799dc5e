/** The terms of a new session that are none of its strategy: what it trades, with how much, and what it may lose. */

import { mistake, type NumberField, wired } from "../lib/fields";
import type { NewSession } from "./records";

const AMOUNT = { unit: "", places: 0, min: "0", isAboveMin: true, max: "1000000000000" };

/** In the order in which they are asked for. */
export const TERMS = {
  capital: { ...AMOUNT, name: "capital", title: "Capital", help: "What it trades with.", default: "10000" },
  loss: { ...AMOUNT, name: "loss", title: "Loss limit", help: "A loss of as much stops it.", default: "500" },
  exposure: {
    ...AMOUNT,
    name: "exposure",
    title: "Exposure limit",
    help: "Of its positions; empty: its capital.",
    default: "",
    isOptional: true,
  },
  minutes: {
    name: "minutes",
    title: "Time limit",
    help: "Then it ends; empty: no limit.",
    unit: "min",
    places: 0,
    default: "60",
    min: "0.1",
    max: "527040",
    isOptional: true,
  },
} as const satisfies Record<string, NumberField>;

/** What was typed. */
export type Typed = Readonly<Record<keyof typeof TERMS | "symbols", string>>;

/** Session's own bound. */
const INSTRUMENTS_MAX = 32;
const INSTRUMENT = /^[a-z0-9]+:[\x21-\x7e]+\/[^:\s][\x21-\x7e]*$/;

export const initial: Typed = {
  symbols: "binance:BTC/USDT",
  capital: TERMS.capital.default,
  loss: TERMS.loss.default,
  exposure: TERMS.exposure.default,
  minutes: TERMS.minutes.default,
};

/** What its prices are in: of `okx:BTC/USDT:USDT` it is `USDT`. */
const quoteOf = (instrument: string) => /\/([^:]+)/.exec(instrument)?.[1];
const instruments = (text: string) => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

/** What cannot be taken, by the field's name. */
export function mistakes(typed: Typed): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const field of Object.values(TERMS)) {
    const fault = mistake(field, typed[field.name]);
    if (fault) found[field.name] = fault;
  }
  const named = instruments(typed.symbols);
  const odd = named.find((it) => !INSTRUMENT.test(it));
  if (named.length === 0) found.symbols = "At least one is wanted, such as binance:BTC/USDT.";
  else if (odd) found.symbols = `“${odd}” is no instrument such as binance:BTC/USDT.`;
  else if (new Set(named.map(quoteOf)).size > 1) found.symbols = "They have different quote currencies; one session has one.";
  else if (named.length > INSTRUMENTS_MAX) found.symbols = `At most ${INSTRUMENTS_MAX} of them.`;
  return found;
}

/** What is said to the session service. */
export function termsOf(typed: Typed): Omit<NewSession, "algorithmId" | "parameters"> {
  const amount = (field: NumberField & { name: keyof Typed }) => wired(field, typed[field.name]);
  const minutes = Number(typed.minutes.trim());
  const exposure = amount(TERMS.exposure);
  return {
    symbols: instruments(typed.symbols),
    capital: amount(TERMS.capital),
    limits: {
      lossLimit: amount(TERMS.loss),
      ...(minutes > 0 && { timeLimitMs: Math.round(minutes * 60_000) }),
      ...(exposure && { exposureLimit: exposure }),
    },
  };
}
