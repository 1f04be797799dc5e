import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { call, ServiceError, usePolled } from "../lib/services";
import { command } from "../session/commands";
import { create, type NewSession } from "./records";

/** What the algorithm ships, for a deployment whose page is not told where it is; the service has the last word. */
const STRATEGIES = [
  ["sma-crossover", "Moving-average crossover"],
  ["mean-reversion", "Mean reversion"],
  ["momentum", "Momentum"],
  ["book-imbalance", "Order-book imbalance"],
] as const;

const MINUTE_MS = 60_000;
const AMOUNT = "[0-9]{1,12}(\\.[0-9]{1,8})?";

const key = () => crypto.randomUUID?.() ?? `new-${Date.now()}-${Math.random()}`;

function read(form: FormData): NewSession {
  const text = (name: string) => String(form.get(name) ?? "").trim();
  const minutes = Number(text("minutes"));
  const limits = { lossLimit: text("loss"), ...(minutes > 0 ? { timeLimitMs: Math.round(minutes * MINUTE_MS) } : {}) };
  const symbols = text("symbols")
    .split(/[\s,]+/)
    .filter(Boolean);
  return { algorithmId: text("strategy"), symbols, capital: text("capital"), limits };
}

interface StrategyEntry {
  name: string;
  summary: string;
}

const listStrategies = () => call<{ items?: readonly StrategyEntry[] }>("algorithm", "/v1/strategies");

/** Which strategy, and what it does in a line. */
function StrategyField() {
  const { value } = usePolled(listStrategies, undefined);
  const [chosen, setChosen] = useState(STRATEGIES[0][0] as string);
  const shipped = STRATEGIES.map(([name, title]) => ({ name, title, summary: undefined as string | undefined }));
  const titles = new Map<string, string>(STRATEGIES);
  const all = value?.items?.map(({ name, summary }) => ({ name, title: titles.get(name) ?? name, summary })) ?? shipped;
  return (
    <>
      <label className="field">
        Strategy
        <select name="strategy" value={chosen} onChange={(event) => setChosen(event.target.value)}>
          {all.map(({ name, title }) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      </label>
      <p className="muted small strategy-summary">{all.find(({ name }) => name === chosen)?.summary}</p>
    </>
  );
}

/** Asks for a session and starts it. The same attempt again makes no second one. */
export function NewSessionDialog({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const attempt = useRef(key());
  const navigate = useNavigate();
  const id = useId();
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    const it = dialog.current;
    it?.showModal();
    return () => it?.close();
  }, []);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const asked = read(new FormData(event.currentTarget));
    setBusy(true);
    setFault(undefined);
    try {
      const { sessionId } = await create(asked, attempt.current);
      // Where that fails, the session's own screen shows it unstarted, and tries again.
      await command(sessionId, "start", `${attempt.current}-start`).catch(() => {});
      navigate(`/sessions/${encodeURIComponent(sessionId)}`);
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
      setBusy(false);
      // What was refused is asked for differently next time, and that is another request.
      if (!(error instanceof ServiceError && error.kind === "unreachable")) attempt.current = key();
    }
  };
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={`${id}-title`} onCancel={onClose}>
      <h2 id={`${id}-title`}>New session</h2>
      <form className="form dialog-form" onSubmit={submit}>
        <StrategyField />
        <label className="field">
          Instruments
          <input name="symbols" defaultValue="binance:BTC/USDT" required maxLength={1_000} spellCheck={false} />
        </label>
        <div className="field-row">
          <Amount name="capital" label="Capital" initial="10000" />
          <Amount name="loss" label="Loss limit" initial="500" />
          <label className="field">
            Minutes
            <input
              name="minutes"
              inputMode="numeric"
              defaultValue="60"
              pattern="[0-9]{0,6}"
              title="None: until it is stopped"
            />
          </label>
        </div>
        <p className="muted small">Paper trading: orders are filled against the live books and never leave this cluster.</p>
        {fault && (
          <p className="fault" role="alert">
            {fault}
          </p>
        )}
        <div className="dialog-actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button button-primary" disabled={isBusy}>
            {isBusy ? "Starting…" : "Start session"}
          </button>
        </div>
      </form>
    </dialog>
  );
}

function Amount({ name, label, initial }: { name: string; label: string; initial: string }) {
  return (
    <label className="field">
      {label}
      <input
        name={name}
        inputMode="decimal"
        defaultValue={initial}
        required
        pattern={AMOUNT}
        title="An amount such as 2500.50"
      />
    </label>
  );
}
