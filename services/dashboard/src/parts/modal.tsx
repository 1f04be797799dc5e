import { type ReactNode, useEffect, useId, useRef } from "react";

/** Something to be answered before the rest goes on. The browser's own dialog keeps focus and Escape right. */
export function Modal(props: { title: string; wide?: boolean; onClose: () => void; children: ReactNode }) {
  const { title, wide, onClose, children } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const it = dialog.current;
    it?.showModal();
    return () => it?.close();
  }, []);
  return (
    <dialog ref={dialog} className={`dialog ${wide ? "dialog-wide" : ""}`} aria-labelledby={heading} onCancel={onClose}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}

/** Brings whoever sent a form to the first field that cannot be taken, also where it was folded away. */
export function showFault(form: HTMLFormElement): void {
  // After the faults were drawn.
  requestAnimationFrame(() => {
    const field = form.querySelector<HTMLElement>("[aria-invalid=true]");
    const folded = field?.closest("details");
    if (folded) folded.open = true;
    field?.focus();
  });
}
