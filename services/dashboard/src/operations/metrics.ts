/** Prometheus text as numbers: the sum of a metric over its labels, and each sample where the labels matter. */
export class Metrics {
  readonly #samples: readonly { name: string; labels: string; value: number }[];
  /** When it was read, milliseconds. */
  readonly at: number;

  constructor(text: string, at: number) {
    this.at = at;
    this.#samples = text.split("\n").flatMap((line) => {
      const found = /^([a-zA-Z_:][\w:]*)(\{[^}]*\})?\s+(\S+)/.exec(line);
      const value = Number(found?.[3]);
      return found?.[1] && Number.isFinite(value) ? [{ name: found[1], labels: found[2] ?? "", value }] : [];
    });
  }

  /** The sum over all labels; counters with or without their `_total`. */
  sum(name: string): number | undefined {
    const found = this.#samples.filter((it) => it.name === name || it.name === `${name}_total`);
    return found.length === 0 ? undefined : found.reduce((total, { value }) => total + value, 0);
  }

  /** The values by one label. */
  by(name: string, label: string): readonly (readonly [string, number])[] {
    const totals = new Map<string, number>();
    for (const { name: of, labels, value } of this.#samples) {
      if (of !== name && of !== `${name}_total`) continue;
      const key = new RegExp(`[{,]${label}="([^"]*)"`).exec(labels)?.[1] ?? "";
      totals.set(key, (totals.get(key) ?? 0) + value);
    }
    return [...totals];
  }

  /** How fast a counter rose since `before`, a second; nothing over a restart. */
  rate(name: string, before: Metrics | undefined): number | undefined {
    const [now, then] = [this.sum(name), before?.sum(name)];
    if (now === undefined || then === undefined || !before || now < then || this.at <= before.at) return undefined;
    return ((now - then) * 1_000) / (this.at - before.at);
  }
}
