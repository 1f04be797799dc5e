/** Containers may be nested this deep. */
const DEPTH_MAX = 64;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The first tag of an integer; with those behind it they stand for these, of 1, 2, 4 and 8 bytes. */
const INTEGERS = 0xcc;
const READ = ["getUint8", "getUint16", "getUint32", "getBigUint64", "getInt8", "getInt16", "getInt32", "getBigInt64"] as const;

/** All values of a message, back to back. Throws a `RangeError` where it is cut short, a `TypeError` on what JSON cannot say. */
export function decodeAll(bytes: Uint8Array): unknown[] {
  const reader = new Reader(bytes);
  const values = [];
  while (!reader.isDone) values.push(reader.value(0));
  return values;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isDone(): boolean {
    return this.#at >= this.#bytes.length;
  }

  value(depth: number): unknown {
    const tag = this.#view.getUint8(this.#take(1));
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 0x0f, depth);
    if (tag < 0xa0) return this.#array(tag & 0x0f, depth);
    if (tag < 0xc0) return this.#text(tag & 0x1f);
    if (tag >= 0xe0) return tag - 0x100;
    if (tag >= INTEGERS && tag < INTEGERS + READ.length) return this.#integer(tag - INTEGERS);
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return tag === 0xc3;
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#integer(tag - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#integer(tag - 0xdb), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#integer(tag - 0xdd), depth);
      default:
        throw new TypeError(`MessagePack: 0x${tag.toString(16)} is nothing that JSON can say`);
    }
  }

  /** An integer of the form that stands at `form` in `READ`. */
  #integer(form: number): number {
    const at = this.#take(2 ** (form & 3));
    return Number(this.#view[READ[form] as (typeof READ)[number]](at));
  }

  /** Where the next `count` bytes begin. */
  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new RangeError("MessagePack: cut short");
    this.#at = at + count;
    return at;
  }

  #text(length: number): string {
    const at = this.#take(length);
    // Most strings are short names: for those a loop is quicker than the decoder's call.
    if (length > 24) return utf8.decode(this.#bytes.subarray(at, at + length));
    let text = "";
    for (let index = at; index < at + length; index += 1) {
      const byte = this.#bytes[index] as number;
      if (byte > 0x7f) return utf8.decode(this.#bytes.subarray(at, at + length));
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #array(length: number, depth: number): unknown[] {
    this.#enter(length, depth);
    const values: unknown[] = [];
    for (let index = 0; index < length; index += 1) values.push(this.value(depth + 1));
    return values;
  }

  #map(length: number, depth: number): Record<string, unknown> {
    this.#enter(2 * length, depth);
    const map: Record<string, unknown> = {};
    for (let index = 0; index < length; index += 1) {
      const name = this.value(depth + 1);
      if (typeof name !== "string") throw new TypeError("MessagePack: a map's keys are strings");
      const value = this.value(depth + 1);
      // As JSON.parse does: a field, never the prototype.
      if (name === "__proto__")
        Object.defineProperty(map, name, { value, enumerable: true, configurable: true, writable: true });
      else map[name] = value;
    }
    return map;
  }

  /** Each value has a byte at least, so a length beyond the message is refused before anything is made for it. */
  #enter(values: number, depth: number): void {
    if (depth >= DEPTH_MAX) throw new RangeError(`MessagePack: nested deeper than ${DEPTH_MAX}`);
    if (values > this.#bytes.length - this.#at) throw new RangeError("MessagePack: cut short");
  }
}
