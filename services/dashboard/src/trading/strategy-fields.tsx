import { useId } from "react";
import { NumberInput } from "../parts/field";
import { fieldOf, type Parameter, type Strategy, type Typed, typedOf } from "./parameters";

/** Names for people, of what the algorithm ships; others are shown as they are. */
const TITLES = new Map([
  ["sma-crossover", "Moving-average crossover"],
  ["mean-reversion", "Mean reversion"],
  ["momentum", "Momentum"],
  ["book-imbalance", "Order-book imbalance"],
]);

/** For a deployment whose page is not told where the algorithm is: its strategies by name, with their own defaults. */
export const SHIPPED: readonly Strategy[] = [...TITLES.keys()].map((name) => ({ name, summary: "" }));

/** Which strategy, and what it does in a line. */
export function StrategyField(props: { all: readonly Strategy[]; chosen: string; onChoose: (name: string) => void }) {
  const { all, chosen, onChoose } = props;
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>Strategy</label>
      <select id={id} value={chosen} aria-describedby={`${id}-summary`} onChange={(event) => onChoose(event.target.value)}>
        {all.map(({ name }) => (
          <option key={name} value={name}>
            {TITLES.get(name) ?? name}
          </option>
        ))}
      </select>
      <p id={`${id}-summary`} className="muted small strategy-summary">
        {summaryOf(all.find(({ name }) => name === chosen))}
      </p>
    </div>
  );
}

/** Its parameters by the titles that stand at their fields. */
const summaryOf = (of: Strategy | undefined) =>
  of?.summary.replace(/`(\w+)`/g, (_, name) => {
    const title = of.parameters?.find((it) => it.name === name)?.title ?? name;
    return `“${title.toLowerCase()}”`;
  });

/** A field a parameter. */
export function ParameterFields(props: {
  parameters: readonly Parameter[];
  typed: Typed;
  faults: Readonly<Record<string, string>>;
  onType: (name: string, text: string) => void;
}) {
  const { parameters, typed, faults, onType } = props;
  return (
    <div className="field-grid">
      {parameters.map((it) =>
        it.type === "flag" ? (
          <Flag key={it.name} of={it} value={typedOf(it, typed)} onChange={(text) => onType(it.name, text)} />
        ) : (
          <NumberInput
            key={it.name}
            field={fieldOf(it)}
            value={typedOf(it, typed)}
            fault={faults[it.name]}
            onChange={(text) => onType(it.name, text)}
          />
        ),
      )}
    </div>
  );
}

function Flag({ of, value, onChange }: { of: Parameter; value: string; onChange: (text: string) => void }) {
  const id = useId();
  return (
    <div className="field">
      <label className="check">
        <input
          type="checkbox"
          aria-describedby={id}
          checked={value === "true"}
          onChange={(event) => onChange(String(event.target.checked))}
        />
        {of.title}
      </label>
      <p id={id} className="muted small">
        {of.help}
      </p>
    </div>
  );
}
