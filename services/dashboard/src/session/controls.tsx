import { useEffect, useState } from "react";
import { words } from "../lib/format";
import { loadSettings } from "../lib/services";
import { Confirm } from "../parts/confirm";
import type { SessionRecord } from "../trading/records";
import { allowed, type Command, command } from "./commands";

const LABELS: Record<Command, string> = {
  start: "Start",
  pause: "Pause",
  resume: "Resume",
  stop: "Stop",
  "emergency-stop": "Emergency stop",
};
const TONES: Partial<Record<Command, string>> = {
  start: "button-primary",
  resume: "button-primary",
  "emergency-stop": "button-danger",
};
const ASKED: readonly Command[] = ["stop", "emergency-stop"];

/** Buttons for a session. Each says at once that it was heard, and then what became of it. */
export function SessionControls(props: {
  session: string;
  status: string | undefined;
  hasStarted: boolean;
  /** What the service answered: how the session stands now. */
  onAnswer: (record: SessionRecord) => void;
}) {
  const { session, status, hasStarted, onAnswer } = props;
  const [isThere, setThere] = useState<boolean>();
  const [asked, setAsked] = useState<Command>();
  const [busy, setBusy] = useState<Command>();
  const [said, setSaid] = useState<{ text: string; isFault: boolean }>();
  useEffect(() => {
    loadSettings().then(({ services }) => setThere(Boolean(services.session)));
  }, []);
  // The status is what tells that a command took effect.
  useEffect(() => {
    setBusy(undefined);
    setSaid((last) => last && { text: `The session is ${words(status)}.`, isFault: false });
  }, [status]);
  const send = async (what: Command) => {
    setBusy(what);
    setSaid({ text: `${LABELS[what]}: sent, waiting for the session…`, isFault: false });
    try {
      const record = await command(session, what, crypto.randomUUID?.() ?? `${session}-${what}-${Date.now()}`);
      // The event that tells the same may have come before.
      setSaid({ text: `The session is ${words(record.status)}.`, isFault: false });
      onAnswer(record);
    } catch (error) {
      setSaid({ text: `${LABELS[what]}: ${error instanceof Error ? error.message : String(error)}`, isFault: true });
    } finally {
      setBusy(undefined);
    }
  };
  const commands = allowed(status, hasStarted);
  return (
    <div className="controls">
      <div className="controls-buttons">
        {commands.map((what) => (
          <button
            key={what}
            type="button"
            className={`button ${TONES[what] ?? ""}`}
            disabled={!isThere || busy !== undefined}
            onClick={() => (ASKED.includes(what) ? setAsked(what) : void send(what))}
          >
            {busy === what ? `${LABELS[what]}…` : LABELS[what]}
          </button>
        ))}
      </div>
      {isThere === false && commands.length > 0 && (
        <p className="muted small">
          This deployment has no session service, so sessions can be watched here but not commanded.
        </p>
      )}
      <p className={said?.isFault ? "fault" : "muted small"} role="status">
        {said?.text ?? ""}
      </p>
      {asked && (
        <Confirm
          title={`${LABELS[asked]}?`}
          action={LABELS[asked]}
          danger
          onClose={() => setAsked(undefined)}
          onConfirm={() => send(asked)}
        >
          {asked === "stop" ? (
            <p>Session {session} ends: open orders are cancelled and its positions closed.</p>
          ) : (
            <p>
              Session {session} stops at once: every order is cancelled and every position closed at the market. This cannot be
              undone.
            </p>
          )}
        </Confirm>
      )}
    </div>
  );
}
