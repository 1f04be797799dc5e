import { readFileSync } from "node:fs";
import { json } from "@tickwire/client";
import { msgpack } from "@tickwire/client/msgpack";
import { expect, test } from "vitest";
import { Track } from "../../src/core/track.js";
import { decodeAll } from "../../src/msgpack/decode.js";
import type { ClientCommand, DeltaFrame, MessageFrame } from "../../src/wire.gen.js";

interface EventCase {
  name: string;
  json: string;
  msgpack: string;
}
interface CommandCase {
  name: string;
  dialect: string;
  json?: string;
  msgpack?: string;
  canonical?: boolean;
}
interface DeltaCase {
  name: string;
  base: string;
  next: string;
  frame: string | null;
  applied?: string;
}

/** The cases that the Rust code is tested with. */
function cases<T>(name: string): T[] {
  const text = readFileSync(new URL(`../../../protocol/vectors/${name}.json`, import.meta.url), "utf8");
  return (JSON.parse(text) as { cases: T[] }).cases;
}

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const buffer = (hex: string) => bytes(hex).buffer as ArrayBuffer;

test.each(cases<EventCase>("events"))("$name: JSON and MessagePack say the same", ({ json: text, msgpack: hex }) => {
  expect(msgpack.decode(buffer(hex))).toEqual(json.decode(text));
});

const canonical = cases<CommandCase>("commands").filter(
  (it) => it.canonical && it.dialect === "native" && it.json && it.msgpack,
);

test.each(canonical)("$name: commands are written as the edge's own code writes them", ({ json: text, msgpack: hex }) => {
  // Integers beyond 2^53 and floats without a fraction have no text of their own in JavaScript.
  if (/\d{16,}|e\+|\.0\b/.test(text ?? "")) return;
  const command = JSON.parse(text as string) as ClientCommand;
  expect(json.encode([command])).toBe(text);
  expect(Buffer.from(msgpack.encode([command]) as Uint8Array).toString("hex")).toBe(hex);
});

test.each(cases<DeltaCase>("deltas"))("$name: a change makes the value", ({ base, next, frame, applied }) => {
  const track = new Track(undefined, false);
  const delta = frame && (JSON.parse(frame) as DeltaFrame);
  if (!delta) return;
  const value: MessageFrame = { type: "message", channel: "prices:X", key: "X", time: delta.base, data: JSON.parse(base) };
  track.joined({ type: "subscribed", channel: "prices:X", class: "latest", recovered: false, messages: [value] });
  expect(track.whole(delta)?.data).toEqual(JSON.parse(applied ?? next));
});

test("packed frames are taken apart", () => {
  const [first] = cases<EventCase>("events");
  const hex = (first as EventCase).msgpack;
  expect(msgpack.decode(buffer(hex + hex))).toHaveLength(2);
  expect(json.decode('[{"type":"heartbeat","time":1},{"type":"heartbeat","time":2}]')).toHaveLength(2);
});

test("a message cut anywhere, or nested without end, is refused and allocates nothing", () => {
  for (const { msgpack: hex } of cases<EventCase>("events")) {
    const whole = bytes(hex);
    for (let end = 1; end < whole.length; end += 1) expect(() => decodeAll(whole.subarray(0, end))).toThrow(RangeError);
  }
  expect(() => decodeAll(new Uint8Array(1_000).fill(0x91))).toThrow(RangeError);
  expect(() => decodeAll(bytes("ddffffffff"))).toThrow(RangeError);
  expect(() => decodeAll(bytes("dbffffffff"))).toThrow(RangeError);
  expect(() => decodeAll(bytes("c1"))).toThrow(TypeError);
  expect(() => decodeAll(bytes("8101a178"))).toThrow(TypeError);
});

test("a field named __proto__ is a field", () => {
  const [map] = decodeAll(bytes("81a95f5f70726f746f5f5f81a17801")) as [Record<string, unknown>];
  expect(Object.keys(map)).toEqual(["__proto__"]);
  expect(({} as { x?: unknown }).x).toBeUndefined();
});
