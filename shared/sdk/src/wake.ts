/**
 * What the browser says: `wake`, the network or the page is back; `doubt`, the network may be gone or another one; `leave`, the
 * page is left, though it may come back from the browser's cache of pages; `visible`, the page came to the foreground or left it.
 */
export type WakeEvent = "wake" | "doubt" | "leave" | "visible";

/** Listens until `signal` is aborted. Does nothing where there is no browser. */
export function listen(tell: (event: WakeEvent, isVisible: boolean) => void, signal: AbortSignal): void {
  const { document } = globalThis;
  const isVisible = () => document?.visibilityState !== "hidden";
  const on = (target: EventTarget | undefined, name: string, event: WakeEvent) =>
    target?.addEventListener?.(name, () => tell(event, isVisible()), { signal });
  const page = globalThis as unknown as EventTarget;
  on(page, "online", "wake");
  on(page, "pageshow", "wake");
  on(page, "offline", "doubt");
  on(page, "pagehide", "leave");
  on(document, "resume", "wake");
  on(document, "visibilitychange", "visible");
  on((globalThis.navigator as { connection?: EventTarget } | undefined)?.connection, "change", "doubt");
  if (!isVisible()) tell("visible", false);
}
