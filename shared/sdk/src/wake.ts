/** What the browser says about the network and the page. */
export interface WakeEvents {
  /** The network or the page is back. */
  wake(): void;
  /** The network may be gone or another one. */
  doubt(): void;
  /** The page is left; it may come back from the browser's cache of pages. */
  leave(): void;
  /** The page came to the foreground, or left it. */
  visible(visible: boolean): void;
}

/** Listens until `signal` is aborted. Does nothing where there is no browser. */
export function listen(events: WakeEvents, signal: AbortSignal): void {
  const options = { signal };
  const on = (target: EventTarget | undefined, names: string[], listener: () => void) => {
    for (const name of names) target?.addEventListener?.(name, listener, options);
  };
  const { document } = globalThis;
  const network = (globalThis.navigator as { connection?: EventTarget } | undefined)?.connection;
  on(globalThis as unknown as EventTarget, ["online", "pageshow"], events.wake);
  on(globalThis as unknown as EventTarget, ["offline"], events.doubt);
  on(globalThis as unknown as EventTarget, ["pagehide"], events.leave);
  on(document, ["resume"], events.wake);
  on(document, ["visibilitychange"], () => events.visible(document.visibilityState !== "hidden"));
  on(network, ["change"], events.doubt);
  if (document?.visibilityState === "hidden") events.visible(false);
}
