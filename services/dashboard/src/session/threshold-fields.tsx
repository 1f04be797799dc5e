import { NumberInput } from "../parts/field";
import { levelField, RELEASE, REPEAT, RULES, type Typed } from "./thresholds";

interface Props {
  typed: Typed;
  faults: Readonly<Record<string, string>>;
  onType: (name: string, text: string) => void;
}

/** Where alerts begin: a row a rule, with its warning and its critical level. */
export function ThresholdFields({ typed, faults, onType }: Props) {
  return (
    <div className="rules">
      <p className="rule rule-head muted small" aria-hidden="true">
        <span>Alerts of</span>
        <span>Warning from</span>
        <span>Critical from</span>
      </p>
      {RULES.map((rule) => (
        <fieldset key={rule.name} className="rule" aria-label={rule.title}>
          <div>
            <strong>{rule.title}</strong>
            <p className="muted small">{rule.help}</p>
          </div>
          {(["warning", "critical"] as const).map((level) => (
            <NumberInput
              key={level}
              isBare
              field={{ ...levelField(rule, level), help: "" }}
              label={`${rule.title}, ${level} from${rule.unit ? `, ${rule.unit}` : ""}`}
              value={typed[`${rule.name}.${level}`] ?? ""}
              fault={faults[`${rule.name}.${level}`]}
              onChange={(text) => onType(`${rule.name}.${level}`, text)}
            />
          ))}
        </fieldset>
      ))}
      <div className="field-grid rule-more">
        {[RELEASE, REPEAT].map((field) => (
          <NumberInput
            key={field.name}
            field={field}
            value={typed[field.name] ?? ""}
            fault={faults[field.name]}
            onChange={(text) => onType(field.name, text)}
          />
        ))}
      </div>
    </div>
  );
}
