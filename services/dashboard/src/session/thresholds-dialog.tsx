import { type FormEvent, useEffect, useState } from "react";
import { Modal, showFault } from "../parts/modal";
import { Empty } from "../parts/parts";
import { ThresholdFields } from "./threshold-fields";
import { areChanged, DEFAULTS, mistakes, type Typed, thresholdsOf, typedOf } from "./thresholds";
import { getThresholds, setThresholds } from "./thresholds-api";

const NONE: Readonly<Record<string, string>> = {};

/** Shows and changes where risk alerts of a session begin, also while it runs. */
export function ThresholdsDialog({ session, onClose }: { session: string; onClose: () => void }) {
  const [typed, setTyped] = useState<Typed>();
  const [isSent, setSent] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    let isOver = false;
    getThresholds(session).then(
      (thresholds) => !isOver && setTyped(typedOf(thresholds)),
      (error: Error) => !isOver && setFault(error.message),
    );
    return () => {
      isOver = true;
    };
  }, [session]);
  const faults = typed ? mistakes(typed) : NONE;
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setSent(true);
    if (!typed) return;
    if (Object.keys(faults).length > 0) return showFault(event.currentTarget);
    setBusy(true);
    setFault(undefined);
    try {
      await setThresholds(session, thresholdsOf(typed));
      onClose();
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    <Modal title="Risk thresholds" wide onClose={onClose}>
      <form className="dialog-form" onSubmit={submit} noValidate>
        <div className="dialog-scroll">
          {typed ? (
            <ThresholdFields
              typed={typed}
              faults={isSent ? faults : NONE}
              onType={(name, text) => setTyped({ ...typed, [name]: text })}
            />
          ) : (
            !fault && <Empty title="Loading…" />
          )}
        </div>
        {fault && (
          <p className="fault" role="alert">
            {fault}
          </p>
        )}
        <div className="dialog-actions">
          <button
            type="button"
            className="button dialog-aside"
            disabled={!typed || !areChanged(typed)}
            onClick={() => setTyped(typedOf(DEFAULTS))}
          >
            Defaults
          </button>
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button button-primary" disabled={!typed || isBusy}>
            {isBusy ? "Saving…" : "Save"}
          </button>
        </div>
      </form>
    </Modal>
  );
}
