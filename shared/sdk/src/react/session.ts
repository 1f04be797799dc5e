import type { Message, SessionFigures, SessionStatus, Tickwire } from "../index.js";
import { sharedOf, useTickwire } from "./provider.js";
import { createStore, type Store } from "./store.js";
import { SILENT, useStore, whole } from "./use-store.js";

/** How far back the last status of a session is looked for. */
const HISTORY = 200;

/** A trading session as its events tell it. */
export interface SessionState {
  /** `undefined` until it is known. */
  readonly status: SessionStatus | undefined;
  readonly metrics: SessionFigures | undefined;
  readonly isLoading: boolean;
}

const LOADING: SessionState = { status: undefined, metrics: undefined, isLoading: true };

type SessionMessage = Pick<Message<unknown>, "data">;

/** The state after a message; the same one if it says nothing of the status. */
function after(state: SessionState, { data }: SessionMessage): SessionState {
  const event = data as { type?: string; status?: SessionStatus; data?: SessionFigures };
  if (event.type === "session_started") return { ...state, status: "active", isLoading: false };
  if (event.type === "session_completed") return { ...state, status: "completed", isLoading: false };
  if (event.type !== "session_status") return state;
  return { status: event.status, metrics: { ...state.metrics, ...event.data }, isLoading: false };
}

function sessionStore(client: Tickwire, channel: string, forget: () => void): Store<SessionState> {
  const start = (changed: () => void) => {
    let state = LOADING;
    let isFresh = false;
    const set = (next: SessionState) => {
      state = next;
      changed();
    };
    const subscription = client.subscribe<string, unknown>(channel);
    const load = async () => {
      isFresh = false;
      try {
        const { messages } = await client.history(channel, { reverse: true, limit: HISTORY });
        // What came live meanwhile is newer.
        if (!isFresh) set(messages.reverse().reduce(after, { ...LOADING, isLoading: false }));
      } catch {
        // Shown as unknown: live messages will tell.
        set({ ...state, isLoading: false });
      }
    };
    subscription.on("subscribed", ({ first }) => first && load());
    subscription.on("gap", load);
    subscription.on("message", (message) => {
      const next = after(state, message);
      isFresh ||= next !== state;
      set(next);
    });
    subscription.on("error", () => set({ ...state, isLoading: false }));
    return { read: () => state, stop: () => subscription.unsubscribe() };
  };
  return createStore(LOADING, start, forget);
}

/** A trading session live: its last known status and figures, then every change. */
export function useRealTimeSessionStatus(sessionId: string | null | undefined): SessionState {
  const client = useTickwire();
  const channel = `session:${sessionId}`;
  const store = sessionId
    ? sharedOf(client, `status ${channel}`, (forget) => sessionStore(client, channel, forget))
    : (SILENT as unknown as Store<never>);
  return useStore(store as Store<SessionState>, LOADING, whole);
}
