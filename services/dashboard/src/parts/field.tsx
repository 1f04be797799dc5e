import { type ReactNode, useId } from "react";
import type { NumberField } from "../lib/fields";

/** Asks for a number. What it does and what is wrong with it are told to those who listen, too. */
export function NumberInput(props: {
  field: NumberField;
  /** Where its title alone would say too little. */
  label?: string;
  /** Its title stands elsewhere for the eye. */
  isBare?: boolean;
  value: string;
  fault?: string | undefined;
  onChange: (typed: string) => void;
}) {
  const { field, label, isBare, value, fault, onChange } = props;
  const id = useId();
  const { title, help, unit, isOptional } = field;
  return (
    <div className="field">
      {!isBare && <label htmlFor={id}>{title}</label>}
      <span className="with-unit">
        <input
          id={id}
          name={field.name}
          className="num"
          inputMode="decimal"
          autoComplete="off"
          aria-label={label ?? (unit ? `${title}, ${unit}` : title)}
          aria-invalid={fault ? true : undefined}
          aria-describedby={`${id}-help`}
          placeholder={isOptional ? "none" : undefined}
          maxLength={32}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
        {unit && (
          <span className="unit" aria-hidden="true">
            {unit}
          </span>
        )}
      </span>
      <p id={`${id}-help`} className={fault ? "fault small" : "muted small"} role={fault ? "alert" : undefined}>
        {fault ?? help}
      </p>
    </div>
  );
}

/** A part of a form that most people leave as it is. */
export function More({
  title,
  note,
  children,
  isOpen,
}: {
  title: string;
  note?: string;
  children: ReactNode;
  isOpen?: boolean;
}) {
  return (
    <details className="more" open={isOpen}>
      <summary>
        <span>{title}</span>
        {note && <span className="muted small">{note}</span>}
      </summary>
      <div className="more-body">{children}</div>
    </details>
  );
}
