import { useId } from "react";
import { NumberInput } from "../parts/field";
import { AGENTS_MAX, AUTONOMY, QUANTITY, type TypedAgent } from "./agents";

/** A row an agent, and a button for one more. */
export function AgentFields(props: {
  agents: readonly TypedAgent[];
  faults: Readonly<Record<string, string>>;
  onChange: (agents: readonly TypedAgent[]) => void;
}) {
  const { agents, faults, onChange } = props;
  const change = (id: number, part: Partial<TypedAgent>) =>
    onChange(agents.map((it) => (it.id === id ? { ...it, ...part } : it)));
  const add = () => {
    const id = Math.max(0, ...agents.map((it) => it.id)) + 1;
    onChange([...agents, { id, name: "", autonomy: "approval", quantity: "" }]);
  };
  return (
    <div className="form">
      {agents.map((agent, index) => (
        <fieldset key={agent.id} className="agent" aria-label={`Agent ${index + 1}`}>
          <Name value={agent.name} fault={faults[`${agent.id}.name`]} onChange={(name) => change(agent.id, { name })} />
          <Autonomy value={agent.autonomy} onChange={(autonomy) => change(agent.id, { autonomy })} />
          <NumberInput
            field={QUANTITY}
            value={agent.quantity}
            fault={faults[`${agent.id}.quantity`]}
            onChange={(quantity) => change(agent.id, { quantity })}
          />
          <button
            type="button"
            className="icon-button agent-away"
            aria-label={`Remove agent ${agent.name || index + 1}`}
            onClick={() => onChange(agents.filter(({ id }) => id !== agent.id))}
          >
            ×
          </button>
        </fieldset>
      ))}
      <div>
        <button type="button" className="button button-small" disabled={agents.length >= AGENTS_MAX} onClick={add}>
          Add an agent
        </button>
      </div>
    </div>
  );
}

function Name({ value, fault, onChange }: { value: string; fault: string | undefined; onChange: (name: string) => void }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>Agent</label>
      <input
        id={id}
        value={value}
        maxLength={64}
        spellCheck={false}
        autoComplete="off"
        placeholder="research-7"
        aria-invalid={fault ? true : undefined}
        aria-describedby={fault && `${id}-fault`}
        onChange={(event) => onChange(event.target.value)}
      />
      {fault && (
        <p id={`${id}-fault`} className="fault small" role="alert">
          {fault}
        </p>
      )}
    </div>
  );
}

function Autonomy({
  value,
  onChange,
}: {
  value: TypedAgent["autonomy"];
  onChange: (autonomy: TypedAgent["autonomy"]) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>Its signal</label>
      <select id={id} value={value} onChange={(event) => onChange(event.target.value as TypedAgent["autonomy"])}>
        {AUTONOMY.map(([name, title]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
    </div>
  );
}
