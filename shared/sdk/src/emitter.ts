/** Reports what a listener threw, without stopping the others. */
export type Report = (error: unknown) => void;

/** As an uncaught error would be reported: to `window.onerror` in browsers, to the console elsewhere. */
export function reportUncaught(error: unknown): void {
  if (typeof reportError === "function") reportError(error);
  else console.error(error);
}

/** Listeners by the name of an event. */
export class Emitter<Events extends object> {
  readonly #byEvent = new Map<keyof Events, Set<(event: never) => void>>();
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  /** Adds a listener; the function returned takes it away. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const listeners = this.#byEvent.get(name) ?? new Set();
    this.#byEvent.set(name, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** Calls the listeners of this moment. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.#byEvent.get(name) ?? [])]) {
      try {
        (listener as (event: Events[Name]) => void)(event);
      } catch (error) {
        this.#report(error);
      }
    }
  }

  clear(): void {
    this.#byEvent.clear();
  }
}
