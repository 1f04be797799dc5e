import { type ReactNode, useEffect, useId, useRef, useState } from "react";

/** Asks before something that cannot be undone. The browser's own dialog keeps focus and Escape right. */
export function Confirm(props: {
  title: string;
  children: ReactNode;
  action: string;
  danger?: boolean;
  onConfirm: () => Promise<void> | void;
  onClose: () => void;
}) {
  const { title, children, action, danger, onConfirm, onClose } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    const it = dialog.current;
    it?.showModal();
    return () => it?.close();
  }, []);
  const confirm = async () => {
    setBusy(true);
    setFault(undefined);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={heading} onCancel={onClose}>
      <h2 id={heading}>{title}</h2>
      <div className="dialog-text">{children}</div>
      {fault && (
        <p className="fault" role="alert">
          {fault}
        </p>
      )}
      <div className="dialog-actions">
        <button type="button" className="button" onClick={onClose}>
          Cancel
        </button>
        <button
          type="button"
          className={`button ${danger ? "button-danger" : "button-primary"}`}
          disabled={isBusy}
          onClick={confirm}
        >
          {isBusy ? "Working…" : action}
        </button>
      </div>
    </dialog>
  );
}
