import { type FormEvent, useId, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { call, ServiceError, usePolled } from "../lib/services";
import { More, NumberInput } from "../parts/field";
import { Modal, showFault } from "../parts/modal";
import { ThresholdFields } from "../session/threshold-fields";
import * as thresholds from "../session/thresholds";
import { AgentFields } from "./agent-fields";
import * as agents from "./agents";
import { type OpeningStep, openSession } from "./opening";
import * as parameters from "./parameters";
import { ParameterFields, SHIPPED, StrategyField } from "./strategy-fields";
import * as terms from "./terms";

const STEPS: Record<OpeningStep, string> = {
  create: "Creating…",
  thresholds: "Setting thresholds…",
  start: "Starting…",
};

const newKey = () => crypto.randomUUID?.() ?? `new-${Date.now()}-${Math.random()}`;

interface Listing {
  items?: readonly parameters.Strategy[];
  /** What can be set of how each of them trades. */
  execution?: readonly parameters.Parameter[];
}

const listStrategies = () => call<Listing>("algorithm", "/v1/strategies");

const INITIAL = {
  strategy: SHIPPED[0]?.name ?? "",
  terms: terms.initial,
  /** By strategy: who looks at another one and comes back finds what was typed. */
  parameters: {} as Readonly<Record<string, parameters.Typed>>,
  execution: {} as parameters.Typed,
  agents: [] as readonly agents.TypedAgent[],
  thresholds: thresholds.typedOf(thresholds.DEFAULTS),
};

/** What is typed, what of it cannot be taken, and what it says. */
function useTerms() {
  const [typed, setTyped] = useState(INITIAL);
  const { value, error } = usePolled(listStrategies, undefined);
  const all = value?.items ?? SHIPPED;
  const own = all.find(({ name }) => name === typed.strategy)?.parameters ?? [];
  const execution = value?.execution ?? [];
  const given = typed.parameters[typed.strategy] ?? {};
  const faults = {
    terms: terms.mistakes(typed.terms),
    parameters: parameters.mistakes(own, given),
    execution: parameters.mistakes(execution, typed.execution),
    agents: agents.mistakes(typed.agents),
    thresholds: thresholds.mistakes(typed.thresholds),
  };
  const asked = () => {
    const trading = parameters.chosen(execution, typed.execution);
    const named = agents.agentsOf(typed.agents);
    const chosen = {
      ...parameters.chosen(own, given),
      ...(Object.keys(trading).length > 0 && { execution: trading }),
      ...(named && { agents: named }),
    };
    return {
      algorithmId: typed.strategy,
      ...(Object.keys(chosen).length > 0 && { parameters: chosen }),
      ...terms.termsOf(typed.terms),
    };
  };
  const hasFault = Object.values(faults).some((found) => Object.keys(found).length > 0);
  return { typed, setTyped, all, own, execution, given, faults, hasFault, asked, isUnknown: error !== undefined };
}

const NONE: Readonly<Record<string, string>> = {};

/** Asks for a session and opens it. The same request again makes no second one. */
export function NewSessionDialog({ onClose }: { onClose: () => void }) {
  const form = useTerms();
  const { typed, setTyped, faults } = form;
  const attempt = useRef({ asked: "", key: "" });
  const navigate = useNavigate();
  const [step, setStep] = useState<OpeningStep>();
  const [isSent, setSent] = useState(false);
  const [fault, setFault] = useState<string>();
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setSent(true);
    if (form.hasFault) return showFault(event.currentTarget);
    const asked = form.asked();
    const text = JSON.stringify(asked);
    // What is asked for differently is another request; the same one keeps its key, and is carried out once.
    if (attempt.current.asked !== text) attempt.current = { asked: text, key: newKey() };
    setFault(undefined);
    const alerts = thresholds.areChanged(typed.thresholds) ? thresholds.thresholdsOf(typed.thresholds) : undefined;
    try {
      const { sessionId } = await openSession(asked, alerts, attempt.current.key, setStep);
      navigate(`/sessions/${encodeURIComponent(sessionId)}`);
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
      setStep(undefined);
      // A refusal is an answer: whoever asks again wants another one.
      if (error instanceof ServiceError && error.kind !== "unreachable") attempt.current.asked = "";
    }
  };
  const shown = isSent ? faults : { terms: NONE, parameters: NONE, execution: NONE, agents: NONE, thresholds: NONE };
  const type = (part: "terms" | "execution" | "thresholds") => (name: string, text: string) =>
    setTyped({ ...typed, [part]: { ...typed[part], [name]: text } });
  return (
    <Modal title="New session" wide onClose={onClose}>
      <form className="dialog-form" onSubmit={submit} noValidate>
        <div className="dialog-scroll form">
          <StrategyField all={form.all} chosen={typed.strategy} onChoose={(strategy) => setTyped({ ...typed, strategy })} />
          {form.own.length > 0 && (
            <ParameterFields
              parameters={form.own}
              typed={form.given}
              faults={shown.parameters}
              onType={(name, text) => {
                const given = { ...form.given, [name]: text };
                setTyped({ ...typed, parameters: { ...typed.parameters, [typed.strategy]: given } });
              }}
            />
          )}
          {form.isUnknown && (
            <p className="muted small">The algorithm service does not say what can be set: its strategy's defaults are used.</p>
          )}
          <Instruments
            value={typed.terms.symbols}
            fault={shown.terms.symbols}
            onChange={(it) => type("terms")("symbols", it)}
          />
          <div className="field-grid field-grid-narrow">
            {Object.values(terms.TERMS).map((field) => (
              <NumberInput
                key={field.name}
                field={field}
                value={typed.terms[field.name]}
                fault={shown.terms[field.name]}
                onChange={(text) => type("terms")(field.name, text)}
              />
            ))}
          </div>
          {form.execution.length > 0 && (
            <More title="How it trades" note="entry size, stop loss, take profit">
              <ParameterFields
                parameters={form.execution}
                typed={typed.execution}
                faults={shown.execution}
                onType={type("execution")}
              />
            </More>
          )}
          <More title="Agents" note={typed.agents.length > 0 ? `${typed.agents.length} may speak up` : "none"}>
            <AgentFields
              agents={typed.agents}
              faults={shown.agents}
              onChange={(changed) => setTyped({ ...typed, agents: changed })}
            />
          </More>
          <More title="Risk thresholds" note={thresholds.areChanged(typed.thresholds) ? "changed" : "defaults"}>
            <ThresholdFields typed={typed.thresholds} faults={shown.thresholds} onType={type("thresholds")} />
          </More>
          <p className="muted small">Paper trading: orders are filled against the live books and never leave this cluster.</p>
        </div>
        {fault && (
          <p className="fault" role="alert">
            {fault}
          </p>
        )}
        <div className="dialog-actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button button-primary" disabled={step !== undefined}>
            {step ? STEPS[step] : "Start session"}
          </button>
        </div>
      </form>
    </Modal>
  );
}

function Instruments({
  value,
  fault,
  onChange,
}: {
  value: string;
  fault?: string | undefined;
  onChange: (text: string) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>Instruments</label>
      <input
        id={id}
        value={value}
        maxLength={1_000}
        spellCheck={false}
        autoComplete="off"
        aria-invalid={fault ? true : undefined}
        aria-describedby={`${id}-help`}
        onChange={(event) => onChange(event.target.value)}
      />
      <p id={`${id}-help`} className={fault ? "fault small" : "muted small"} role={fault ? "alert" : undefined}>
        {fault ?? "Exchange and symbol, several with commas between."}
      </p>
    </div>
  );
}
