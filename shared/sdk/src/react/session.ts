import type { Message, SessionFigures, SessionStatus, Tickwire } from "../index.js";
import { useSource } from "./provider.js";
import type { Source } from "./store.js";

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

const STATUS = new Map<string, SessionStatus>([
  ["session_started", "active"],
  ["session_completed", "completed"],
]);

/** The state after a message; the same one if it says nothing of the status. */
function after(state: SessionState, { data }: SessionMessage): SessionState {
  const event = data as { type: string; status?: SessionStatus; data?: SessionFigures };
  const status = event.type === "session_status" ? event.status : STATUS.get(event.type);
  if (!status) return state;
  return { status, metrics: event.data ? { ...state.metrics, ...event.data } : state.metrics, isLoading: false };
}

function follow(client: Tickwire, channel: string, changed: () => void): Source<SessionState> {
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
}

/** A trading session live: its last known status and figures, then every change. */
export function useRealTimeSessionStatus(sessionId: string | null | undefined): SessionState {
  const channel = `session:${sessionId}`;
  return useSource(sessionId && `status ${channel}`, LOADING, (client, changed) => follow(client, channel, changed));
}
