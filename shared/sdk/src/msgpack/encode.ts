const utf8 = new TextEncoder();

/** Bytes that grow. */
export class Output {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** A tag, and where its `size` bytes of content begin. */
  room(tag: number, size: number): { view: DataView; at: number } {
    const at = this.#length + 1;
    if (at + size > this.#bytes.length) {
      const bytes = new Uint8Array(2 * (at + size));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer);
    }
    this.#bytes[at - 1] = tag;
    this.#length = at + size;
    return { view: this.#view, at };
  }

  put(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const { at } = this.room(bytes[0] as number, bytes.length - 1);
    this.#bytes.set(bytes.subarray(1), at);
  }
}

/** Writes what `JSON.stringify` would say, in the shortest form of each value. */
export function encodeTo(output: Output, given: unknown): void {
  const value = typeof (given as { toJSON?: unknown } | null)?.toJSON === "function" ? (given as Date).toJSON() : given;
  if (value === true) output.room(0xc3, 0);
  else if (value === false) output.room(0xc2, 0);
  else if (typeof value === "number") number(output, value);
  else if (typeof value === "string") {
    const bytes = utf8.encode(value);
    head(output, bytes.length, 0xa0, 32, [0xd9, 0xda, 0xdb]);
    output.put(bytes);
  } else if (Array.isArray(value)) {
    head(output, value.length, 0x90, 16, [undefined, 0xdc, 0xdd]);
    for (const entry of value) encodeTo(output, entry);
  } else if (typeof value === "object" && value) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined && typeof field !== "function");
    head(output, fields.length, 0x80, 16, [undefined, 0xde, 0xdf]);
    for (const [name, field] of fields) {
      encodeTo(output, name);
      encodeTo(output, field);
    }
  } else if (typeof value === "bigint") throw new TypeError("a bigint is nothing that JSON can say");
  else output.room(0xc0, 0);
}

type Tags = readonly [byte: number | undefined, short: number, word: number];

function head(output: Output, length: number, small: number, limit: number, tags: Tags): void {
  if (length < limit) output.room(small | length, 0);
  else unsigned(output, length, tags);
}

function unsigned(output: Output, value: number, [byte, short, word]: Tags): void {
  if (byte !== undefined && value <= 0xff) {
    const { view, at } = output.room(byte, 1);
    view.setUint8(at, value);
  } else if (value <= 0xffff) {
    const { view, at } = output.room(short, 2);
    view.setUint16(at, value);
  } else {
    const { view, at } = output.room(word, 4);
    view.setUint32(at, value);
  }
}

function number(output: Output, value: number): void {
  if (!Number.isFinite(value)) output.room(0xc0, 0);
  else if (!Number.isSafeInteger(value)) {
    const { view, at } = output.room(0xcb, 8);
    view.setFloat64(at, value);
  } else if (value >= 0) positive(output, value);
  else negative(output, value);
}

function positive(output: Output, value: number): void {
  if (value < 0x80) output.room(value, 0);
  else if (value <= 0xffff_ffff) unsigned(output, value, [0xcc, 0xcd, 0xce]);
  else {
    const { view, at } = output.room(0xcf, 8);
    view.setBigUint64(at, BigInt(value));
  }
}

function negative(output: Output, value: number): void {
  if (value >= -0x20) output.room(0x100 + value, 0);
  else if (value >= -0x80) {
    const { view, at } = output.room(0xd0, 1);
    view.setInt8(at, value);
  } else if (value >= -0x8000) {
    const { view, at } = output.room(0xd1, 2);
    view.setInt16(at, value);
  } else if (value >= -0x8000_0000) {
    const { view, at } = output.room(0xd2, 4);
    view.setInt32(at, value);
  } else {
    const { view, at } = output.room(0xd3, 8);
    view.setBigInt64(at, BigInt(value));
  }
}
