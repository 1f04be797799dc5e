import { useEffect, useRef, useState } from "react";
import { account, isSignedIn } from "./account";

/** What the server says beside the files: where other services are. */
export interface Settings {
  services: Readonly<Record<string, string>>;
}

/** Who can sign in with one click, in development. */
export interface Person {
  user: string;
  roles: readonly string[];
  token: string;
}

/** Services the dashboard knows to ask. */
export type ServiceName = "emitter" | "feed" | "session" | "algorithm" | "risk";

/** Why a call failed, in words for the screen. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  /** `absent`: this deployment has no such service. `unreachable`: it may have done what was asked; the same key finds out. */
  readonly kind: "absent" | "unreachable" | "forbidden" | "refused";

  /** The HTTP status, if there was an answer. */
  readonly status: number | undefined;

  constructor(kind: ServiceError["kind"], message: string, status?: number) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

const TIMEOUT_MS = 8_000;

async function document<T>(path: string, check: (value: unknown) => T): Promise<T> {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok || !answer.headers.get("content-type")?.includes("json")) return check(undefined);
  return check(await answer.json());
}

let settings: Promise<Settings> | undefined;

/** Read once; a static host that has none leaves every service absent. */
export function loadSettings(): Promise<Settings> {
  settings ??= document("/dashboard.json", (value) => {
    const services = (value as Partial<Settings> | undefined)?.services;
    return { services: services && typeof services === "object" ? services : {} };
  }).catch(() => {
    settings = undefined;
    return { services: {} };
  });
  return settings;
}

/** Who may sign in with a click; nobody outside of development. */
export async function people(): Promise<readonly Person[]> {
  return document("/development.json", (value) => {
    const listed = (value as { people?: unknown } | undefined)?.people;
    return Array.isArray(listed) ? (listed as Person[]) : [];
  }).catch(() => []);
}

/** Calls another service with the signed-in user's token. A body is posted, or put where that is said. */
export async function call<T>(
  service: ServiceName,
  path: string,
  body?: unknown,
  key?: string,
  method: "POST" | "PUT" = "POST",
): Promise<T> {
  const base = (await loadSettings()).services[service];
  if (!base) throw new ServiceError("absent", `This deployment has no ${service} service.`);
  const current = account.get();
  const headers: Record<string, string> = {};
  if (isSignedIn(current)) headers.Authorization = `Bearer ${current.token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const request: RequestInit = { headers, signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" };
  if (body !== undefined) Object.assign(request, { method, body: JSON.stringify(body) });
  let answer: Response;
  try {
    answer = await fetch(base.replace(/\/$/, "") + path, request);
  } catch {
    throw new ServiceError("unreachable", `The ${service} service cannot be reached.`);
  }
  const value: unknown = await answer.json().catch(() => undefined);
  if (answer.ok) return value as T;
  const said = (value as { error?: { message?: string } } | undefined)?.error?.message;
  // What is overloaded or restarts may have done it all the same.
  const kind = answer.status >= 500 ? "unreachable" : answer.status === 401 || answer.status === 403 ? "forbidden" : "refused";
  throw new ServiceError(kind, said ?? `The ${service} service answered ${answer.status}.`, answer.status);
}

/** What a screen that asks again and again knows. */
export interface Polled<T> {
  value: T | undefined;
  error: ServiceError | undefined;
  /** When `value` came, milliseconds. */
  at: number | undefined;
  again(): void;
}

/**
 * Asks at once and every `interval` milliseconds, if there is one, while the page is visible, until a value `isLast`; the last value
 * stays, with its age.
 */
export function usePolled<T>(
  ask: () => Promise<T>,
  interval: number | undefined,
  isLast: (value: T) => boolean = () => false,
): Polled<T> {
  const [state, setState] = useState<Omit<Polled<T>, "again">>({ value: undefined, error: undefined, at: undefined });
  const [round, setRound] = useState(0);
  const asked = useRef({ ask, isLast });
  useEffect(() => {
    asked.current = { ask, isLast };
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` is what `again` changes.
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const turn = async () => {
      if (globalThis.document.visibilityState === "visible") {
        try {
          const value = await asked.current.ask();
          if (!isOver) setState({ value, error: undefined, at: Date.now() });
          if (asked.current.isLast(value)) return;
        } catch (error) {
          const known = error instanceof ServiceError ? error : new ServiceError("unreachable", String(error));
          if (!isOver) setState((last) => ({ ...last, error: known }));
          if (known.kind === "absent") return;
        }
      }
      if (!isOver && interval !== undefined) timer = setTimeout(turn, interval);
    };
    void turn();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [interval, round]);
  return { ...state, again: () => setRound((last) => last + 1) };
}
