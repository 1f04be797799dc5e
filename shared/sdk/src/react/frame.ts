/** Browsers draw nothing in hidden tabs; the state still moves on, this late at most (milliseconds). */
const HIDDEN_MS = 250;

const waiting = new Set<() => void>();
let cancel: (() => void) | undefined;

function run(): void {
  cancel?.();
  cancel = undefined;
  const work = [...waiting];
  waiting.clear();
  for (const task of work) task();
}

/** Runs `task` with all others before the next picture is drawn; once, however often it is asked for. */
export function nextFrame(task: () => void): void {
  waiting.add(task);
  if (cancel) return;
  const timer = setTimeout(run, HIDDEN_MS);
  const frame = globalThis.requestAnimationFrame?.(run);
  cancel = () => {
    clearTimeout(timer);
    if (frame !== undefined) cancelAnimationFrame(frame);
  };
}
