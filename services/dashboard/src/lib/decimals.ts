/** Decimal text that people type and services take: compared and scaled without ever being a float. */

const DECIMAL = /^(-?)(\d{1,20})(?:\.(\d{1,18}))?$/;

/** Whether it is a decimal such as `-2500.50`. */
export const isDecimal = (text: string) => DECIMAL.test(text);

/** Times ten to the power of `places`, in its shortest form; what is no decimal stays as it is. */
export function shift(text: string, places: number): string {
  const found = DECIMAL.exec(text);
  if (!found) return text;
  const [, sign = "", whole = "", fraction = ""] = found;
  const point = whole.length + places;
  const digits = (whole + fraction).padEnd(point, "0");
  const padded = point > 0 ? digits : digits.padStart(digits.length - point + 1, "0");
  const cut = Math.max(point, 1);
  const left = padded.slice(0, cut).replace(/^0+(?=\d)/, "");
  const right = padded.slice(cut).replace(/0+$/, "");
  const isZero = !/[1-9]/.test(left + right);
  return `${isZero ? "" : sign}${left}${right ? `.${right}` : ""}`;
}

/** Below zero, zero or above, as `a` is to `b`; both decimals. */
export function compare(a: string, b: string): number {
  const units = (text: string) => {
    const [, sign, whole = "0", fraction = ""] = DECIMAL.exec(text) ?? [];
    const value = BigInt(whole + fraction.padEnd(18, "0"));
    return sign ? -value : value;
  };
  const [left, right] = [units(a), units(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
