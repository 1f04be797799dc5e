const PLAIN = /^(-?)0*(\d+)(\.\d+)?$/;
/** No decimal of Tickwire's has more than 31 characters; without a bound a hostile one would cost its length squared. */
const LENGTH_MAX = 500;

/** A decimal as text in its one shortest form: `"09.10"` is `"9.1"`. `undefined` for what is no plain decimal text. */
export function canonical(text: unknown): string | undefined {
  const [, sign, whole, fraction = ""] = (typeof text === "string" && text.length <= LENGTH_MAX && PLAIN.exec(text)) || [];
  if (whole === undefined) return undefined;
  const digits = whole + fraction.replace(/\.?0+$/, "");
  return digits === "0" ? digits : sign + digits;
}

/** The order of two canonical texts, by digits and never by floats. */
export function order(a: string, b: string): number {
  if (a === b) return 0;
  const [isBelow, other] = [a[0] === "-", b[0] === "-"];
  if (isBelow !== other) return isBelow ? -1 : 1;
  const [left, right] = [a.split(".", 1)[0]?.length ?? 0, b.split(".", 1)[0]?.length ?? 0];
  // With as many digits before the point the text's own order is that of the numbers.
  const isLess = left === right ? a < b : left < right;
  return isLess === isBelow ? 1 : -1;
}

/**
 * Compares two decimals that are text, such as prices, exactly: negative if `a` is less, 0 if they are equal however many zeros
 * they have, `NaN` where one is no decimal. `Number` would make neighbours beyond 15 digits equal.
 */
export function compareDecimals(a: string, b: string): number {
  const [left, right] = [canonical(a), canonical(b)];
  return left === undefined || right === undefined ? Number.NaN : order(left, right);
}
