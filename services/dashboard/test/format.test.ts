import { describe, expect, test } from "vitest";
import { bytes, counted, decimal, digitsOf, direction, NOTHING, sentence, signed, span, sum } from "../src/lib/format";

describe("decimals", () => {
  test("keep every digit that was sent", () => {
    expect(decimal("64213.10")).toBe("64,213.10");
    expect(decimal("123456789012345678901234567890.123456789")).toBe("123,456,789,012,345,678,901,234,567,890.123456789");
  });
  test("are cut and filled to a column's digits, never rounded up", () => {
    expect(decimal("0.199", 2)).toBe("0.19");
    expect(decimal("5", 2)).toBe("5.00");
  });
  test("carry a real minus and no sign on zero", () => {
    expect(decimal("-1234.5")).toBe("\u22121,234.5");
    expect(signed("-0.001", 2)).toBe("0.00");
    expect(signed("12")).toBe("+12");
    expect(signed("0.00")).toBe("0.00");
  });
  test("that are none are shown as nothing", () => {
    for (const bad of [undefined, null, "", "abc", "1e5", "<b>", "1,5", Number.NaN]) expect(decimal(bad)).toBe(NOTHING);
  });
  test("add up exactly", () => {
    expect(sum(["0.1", "0.2"])).toBe("0.3");
    expect(sum(["-412.30", "84.2", "0.10"])).toBe("-328.00");
    expect(sum([])).toBe("0");
    expect(sum(["99999999999999999999.99", "0.01"])).toBe("100000000000000000000.00");
  });
  test("are counted with their noun", () => {
    expect([counted(1, "trade"), counted(2_000, "trade"), counted(0, "trade"), counted(undefined, "trade")]).toEqual([
      "1 trade",
      "2,000 trades",
      "0 trades",
      "",
    ]);
  });
  test("say their direction", () => {
    expect([direction("1"), direction("-1"), direction("0.00"), direction("x")]).toEqual(["up", "down", "flat", "flat"]);
    expect([direction("-0.004"), direction("-0.004", 2), direction("-0.04", 2)], "as it is shown").toEqual([
      "down",
      "flat",
      "down",
    ]);
  });
  test("of a column share their digits, within reason", () => {
    expect(digitsOf(["1", "0.25", "x"])).toBe(2);
    expect(digitsOf(["0.1234567890123"])).toBe(8);
  });
});

test("spans and sizes have one sensible unit", () => {
  expect([span(12), span(1_500), span(61_000), span(3_660_000), span(undefined)]).toEqual([
    "12 ms",
    "1.5 s",
    "1 min",
    "1 h 1 min",
    NOTHING,
  ]);
  expect([bytes(12), bytes(1_500), bytes(2_500_000)]).toEqual(["12 B", "1.5 kB", "2.5 MB"]);
});

test("names of fields become words", () => {
  const names = ["lossLimit", "finalPnL", "realizedPnL", "cooldownMs", "emergency_stopped", "fast"];
  expect(names.map(sentence)).toEqual(["Loss limit", "Final P&L", "Realized P&L", "Cooldown", "Emergency stopped", "Fast"]);
});
