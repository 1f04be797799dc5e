/** A step of something that takes a while. */
export interface Step {
  name: string;
  isDone: boolean;
}

/** How far something is: which steps are over, and which one is being made. */
export function Progress({ label, steps }: { label: string; steps: readonly Step[] }) {
  const done = steps.filter(({ isDone }) => isDone).length;
  const current = steps.findIndex(({ isDone }) => !isDone);
  const text = steps[current]?.name ?? "all done";
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={steps.length}
      aria-valuenow={done}
      aria-valuetext={`${done} of ${steps.length} done: ${text}`}
    >
      <ol className="steps" aria-hidden="true">
        {steps.map(({ name, isDone }, index) => (
          <li key={name} className={isDone ? "step-done" : index === current ? "step-now" : ""}>
            {name}
          </li>
        ))}
      </ol>
    </div>
  );
}
