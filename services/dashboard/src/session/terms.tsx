import { decimal, moment, sentence, span } from "../lib/format";
import { Panel } from "../parts/parts";
import type { SessionRecord } from "../trading/records";

type Fact = readonly [name: string, value: string, isWide?: boolean];

/** What was agreed on when it was created. */
export function Terms({ of: { symbols, capital, limits, parameters, createdAt, ending } }: { of: SessionRecord }) {
  const facts: readonly Fact[] = [
    ["Instruments", symbols.join(", ")],
    ["Capital", decimal(capital, 2)],
    ["Loss limit", decimal(limits.lossLimit, 2)],
    ["Time limit", limits.timeLimitMs === undefined ? "none" : span(limits.timeLimitMs)],
    ["Exposure limit", limits.exposureLimit === undefined ? "its capital" : decimal(limits.exposureLimit, 2)],
    ["Created", moment(createdAt)],
    ...factsOf(parameters),
    ...(ending ? ([["Ended", `${moment(ending.at)}: ${ending.reason}`, true]] as const) : []),
  ];
  return (
    <Panel title="Terms">
      <Facts of={facts} />
    </Panel>
  );
}

/** What it came to. */
export function Summary({ of }: { of: Readonly<Record<string, unknown>> }) {
  return (
    <Panel title="Summary">
      <Facts of={factsOf(of)} />
    </Panel>
  );
}

/** Fields and their values; those of an object by themselves. */
export function factsOf(of: Readonly<Record<string, unknown>>): readonly Fact[] {
  return Object.entries(of).flatMap(([name, value]): readonly Fact[] => {
    if (typeof value !== "object" || value === null) return [[sentence(name), value === null ? "none" : plain(name, value)]];
    if (Array.isArray(value)) return [[sentence(name), value.map(String).join(", ")]];
    return factsOf(value as Record<string, unknown>).map(([inner, text]) => [
      `${sentence(name)}: ${inner.toLowerCase()}`,
      text,
    ]);
  });
}

/** Times are named by their unit. */
function plain(name: string, value: unknown): string {
  if (/Ms$/.test(name) && typeof value === "number") return span(value);
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}

function Facts({ of }: { of: readonly Fact[] }) {
  return (
    <dl className="facts">
      {of.map(([name, value, isWide]) => (
        <div key={name} className={isWide ? "fact-wide" : undefined}>
          <dt>{name}</dt>
          <dd className="num">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
