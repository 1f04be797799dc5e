import { describe, expect, test } from "vitest";
import { compare, shift } from "../src/lib/decimals";
import { mistake, type NumberField, shown, wired } from "../src/lib/fields";
import { areChanged, DEFAULTS, mistakes as thresholdMistakes, thresholdsOf, typedOf } from "../src/session/thresholds";
import * as agents from "../src/trading/agents";
import { chosen, initial, mistakes, type Parameter } from "../src/trading/parameters";

describe("decimals", () => {
  test("are moved without losing a digit", () => {
    const moved = [
      ["0.0001", 2],
      ["2.5", -2],
      ["12345678901234567890.123456789012345678", 0],
      ["100", -2],
      ["5000", -3],
      ["-0.5", 2],
      ["0", 2],
      ["-0.00", -1],
      ["007.10", 0],
      ["abc", 2],
    ].map(([text, places]) => shift(text as string, places as number));
    expect(moved).toEqual([
      "0.01",
      "0.025",
      "12345678901234567890.123456789012345678",
      "1",
      "5",
      "-50",
      "0",
      "0",
      "7.1",
      "abc",
    ]);
  });
  test("are the same again after a move there and back", () => {
    for (const text of ["0.000001", "1", "99.99", "0.1", "1234.5678"]) {
      for (const places of [-3, -1, 2, 5]) expect(shift(shift(text, places), -places)).toBe(text);
    }
  });
  test("are compared where floats would be equal", () => {
    expect(compare("0.3", "0.30000000000000001")).toBe(-1);
    expect([compare("10", "9.999"), compare("1.0", "1"), compare("-2", "1")]).toEqual([1, 0, -1]);
  });
});

const PERCENT: NumberField = {
  name: "x",
  title: "X",
  help: "",
  unit: "%",
  places: 2,
  default: "0.02",
  min: "0",
  max: "0.5",
  isAboveMin: true,
};

describe("a field", () => {
  test("shows a share in percent and sends it exactly", () => {
    expect([shown(PERCENT, "0.0255"), wired(PERCENT, " 2.55 ")]).toEqual(["2.55", "0.0255"]);
  });
  test("leaves an amount as it was typed", () => {
    expect(wired({ ...PERCENT, places: 0 }, " 250.50 ")).toBe("250.50");
  });
  test.each(["", "abc", "1e3", "1,5", "0", "50.000001", "-1", "0x1", "1.", "9".repeat(30)])("refuses %j", (typed) => {
    expect(mistake(PERCENT, typed)).toBeTruthy();
  });
  test.each(["50", "0.0000001", " 2 "])("takes %j", (typed) => expect(mistake(PERCENT, typed)).toBeUndefined());
  test("says its bounds in what is shown", () => {
    expect(mistake(PERCENT, "60")).toBe("Above 0 % to 50 %.");
    expect(mistake({ ...PERCENT, isBelowMax: true }, "50")).toBe("Above 0 % and below 50 %.");
  });
  test("may be empty where that means none", () => {
    expect(mistake({ ...PERCENT, isOptional: true }, " ")).toBeUndefined();
  });
});

const described = (name: string, more: Partial<Parameter>): Parameter => ({
  name,
  title: name,
  help: "",
  type: "integer",
  unit: "samples",
  default: "5",
  min: "1",
  max: "1999",
  ...more,
});
const FAST = described("fast", { title: "Short average" });
const SLOW = described("slow", { default: "20", above: "fast" });
const STOP = described("stopLoss", {
  type: "decimal",
  unit: "share",
  default: "0.02",
  min: "0.0001",
  max: "1",
  isOptional: true,
});
const PAUSE = described("cooldownMs", { unit: "milliseconds", default: "5000", min: "0", max: "86400000" });
const SHORT = described("allowShort", { type: "flag", unit: "none", default: "false", min: "", max: "" });
const BAND = described("band", { type: "number", unit: "share", default: "0.0001", min: "0", max: "0.5" });
const ALL = [FAST, SLOW, STOP, PAUSE, SHORT, BAND];

describe("a strategy's parameters", () => {
  test("stand there as people read them", () => {
    expect(ALL.map(initial)).toEqual(["5", "20", "2", "5", "false", "0.01"]);
  });
  test("are sent where they differ, each as its type is on the wire", () => {
    expect(chosen(ALL, {})).toEqual({});
    expect(chosen(ALL, { fast: "5.0", stopLoss: "2.00" })).toEqual({});
    const typed = { fast: "7", stopLoss: "1.25", cooldownMs: "0.25", allowShort: "true", band: "0.0001" };
    expect(chosen(ALL, typed)).toEqual({ fast: 7, stopLoss: "0.0125", cooldownMs: 250, allowShort: true, band: 0.000001 });
    expect(chosen(ALL, { stopLoss: "" })).toEqual({ stopLoss: null });
  });
  test("are refused beyond their bounds and against each other", () => {
    expect(mistakes(ALL, {})).toEqual({});
    expect(mistakes(ALL, { fast: "20" })).toEqual({ slow: "Must be more than short average." });
    expect(Object.keys(mistakes(ALL, { fast: "0", slow: "1.5", cooldownMs: "0.0001", stopLoss: "101" }))).toEqual([
      "fast",
      "slow",
      "stopLoss",
      "cooldownMs",
    ]);
    const exit = described("exit", { type: "number", unit: "share", default: "0.1", min: "0", max: "1", atMost: "entry" });
    const entry = described("entry", { type: "number", unit: "share", default: "0.6", min: "0.01", max: "1" });
    expect(mistakes([entry, exit], { exit: "60" })).toEqual({});
    expect(Object.keys(mistakes([entry, exit], { exit: "60.1" }))).toEqual(["exit"]);
  });
});

describe("thresholds", () => {
  const initial = typedOf(DEFAULTS);
  test("come back from the form as they went in", () => {
    expect(thresholdsOf(initial)).toEqual(DEFAULTS);
    expect([thresholdMistakes(initial), areChanged(initial)]).toEqual([{}, false]);
    expect([initial["lossLimit.warning"], initial["exposure.critical"], initial.release]).toEqual(["80", "125", "5"]);
  });
  test("are exact decimals on the wire", () => {
    const typed = { ...initial, "lossLimit.warning": "72.5", "volatility.critical": "3.333333" };
    expect(thresholdsOf(typed)).toMatchObject({
      lossLimit: { warning: "0.725", critical: "0.95" },
      volatility: { critical: "0.03333333" },
    });
    expect(areChanged(typed)).toBe(true);
  });
  test("that make no sense are told at their field", () => {
    const found = (name: string, value: string) => thresholdMistakes({ ...initial, [name]: value });
    expect(found("lossLimit.critical", "79")).toEqual({ "lossLimit.critical": "Not below the warning." });
    expect(Object.keys(found("lossLimit.critical", "100"))).toEqual(["lossLimit.critical"]);
    expect(Object.keys(found("correlation.warning", "1.1"))).toEqual(["correlation.warning"]);
    expect(Object.keys(found("timeLimit.warning", ""))).toEqual(["timeLimit.warning"]);
    expect(Object.keys(found("release", "51"))).toEqual(["release"]);
    expect(Object.keys(found("repeatSeconds", "1.5"))).toEqual(["repeatSeconds"]);
  });
});

describe("agents", () => {
  const agent = (id: number, name: string, quantity = "") => ({ id, name, quantity, autonomy: "approval" as const });
  test("are named apart, and asked for at most so much", () => {
    expect(agents.mistakes([agent(1, "a"), agent(2, "b", "0.5")])).toEqual({});
    expect(Object.keys(agents.mistakes([agent(1, ""), agent(2, "x y"), agent(3, "ok", "0")]))).toEqual([
      "1.name",
      "2.name",
      "3.quantity",
    ]);
    expect(Object.keys(agents.mistakes([agent(1, "a"), agent(2, " a ")]))).toEqual(["1.name", "2.name"]);
  });
  test("are told with their limits as they were typed", () => {
    expect(agents.agentsOf([])).toBeUndefined();
    const told = agents.agentsOf([agent(1, " research-7 "), agent(2, "__proto__", "0.50")]);
    expect(JSON.stringify(told)).toBe(
      '{"research-7":{"autonomy":"approval"},"__proto__":{"autonomy":"approval","quantityMax":"0.50"}}',
    );
  });
});
