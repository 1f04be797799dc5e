const utf8 = new TextEncoder();

/** Writes what `JSON.stringify` would say, in the shortest form of each value. */
export function encodeTo(output: number[], given: unknown): void {
  const value = typeof (given as { toJSON?: unknown } | null)?.toJSON === "function" ? (given as Date).toJSON() : given;
  if (typeof value === "boolean") output.push(value ? 0xc3 : 0xc2);
  else if (typeof value === "number") number(output, value);
  else if (typeof value === "string") {
    const bytes = utf8.encode(value);
    head(output, bytes.length, 0xa0, 32, 0xd9);
    for (const byte of bytes) output.push(byte);
  } else if (Array.isArray(value)) {
    head(output, value.length, 0x90, 16, 0xdb);
    for (const entry of value) encodeTo(output, entry);
  } else if (typeof value === "object" && value) {
    const fields = Object.entries(value).filter(([, field]) => field !== undefined && typeof field !== "function");
    head(output, fields.length, 0x80, 16, 0xdd);
    for (const [name, field] of fields) {
      encodeTo(output, name);
      encodeTo(output, field);
    }
  } else if (typeof value === "bigint") throw new TypeError("a bigint is nothing that JSON can say");
  else output.push(0xc0);
}

/** A length: below `limit` within the tag itself, else behind one of the tags for 1, 2 and 4 bytes, which begin at `tag`. */
function head(output: number[], length: number, small: number, limit: number, tag: number): void {
  if (length < limit) output.push(small | length);
  else {
    // Only strings have a tag for one byte.
    const power = length > 0xffff ? 2 : length > 0xff || limit === 16 ? 1 : 0;
    bytes(output, tag + power, length, power);
  }
}

function number(output: number[], value: number): void {
  if (!Number.isFinite(value)) output.push(0xc0);
  else if (!Number.isSafeInteger(value)) {
    const float = new Uint8Array(8);
    new DataView(float.buffer).setFloat64(0, value);
    output.push(0xcb, ...float);
  } else if (value >= -0x20 && value < 0x80) output.push(value & 0xff);
  else {
    const isFit = (power: number) => (value < 0 ? value >= -(2 ** (8 * 2 ** power - 1)) : value < 2 ** (8 * 2 ** power));
    const power = [0, 1, 2].find(isFit) ?? 3;
    bytes(output, (value < 0 ? 0xd0 : 0xcc) + power, value, power);
  }
}

/** A tag, and behind it an integer in 1, 2, 4 or 8 bytes for a `power` of 0 to 3; negative ones as their two's complement. */
function bytes(output: number[], tag: number, value: number, power: number): void {
  output.push(tag);
  for (let rest = 2 ** power - 1; rest >= 0; rest -= 1) output.push(Math.floor(value / 256 ** rest) & 0xff);
}
