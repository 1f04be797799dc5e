import type { Preferences, Tickwire, TickwireError } from "../index.js";
import { sharedOf, useTickwire } from "./provider.js";
import { createStore, type Store } from "./store.js";
import { useStore } from "./use-store.js";

/** What the user wants to be told of. */
export interface PreferencesState {
  readonly preferences: Preferences;
  readonly isLoading: boolean;
  readonly error: TickwireError | undefined;
}

/** Fields to replace; `null` removes one. */
export type PreferencesChange = { [Field in keyof Preferences]?: Preferences[Field] | null };

const LOADING: PreferencesState = { preferences: {}, isLoading: true, error: undefined };

interface Shared {
  readonly store: Store<PreferencesState>;
  update(change?: PreferencesChange): Promise<void>;
}

function preferencesOf(client: Tickwire): Shared {
  let state = LOADING;
  let tell = () => {};
  const update = async (change?: PreferencesChange) => {
    try {
      state = { preferences: await client.preferences(change), isLoading: false, error: undefined };
    } catch (error) {
      state = { ...state, isLoading: false, error: error as TickwireError };
      if (change) throw error;
    } finally {
      tell();
    }
  };
  const start = (changed: () => void) => {
    tell = changed;
    void update();
    return { read: () => state, stop: () => {} };
  };
  return { store: createStore(LOADING, start), update };
}

/** The user's notification preferences; `update` replaces the fields given and fails with what the edge finds wrong. */
export function useNotificationPreferences(): PreferencesState & { update: (change: PreferencesChange) => Promise<void> } {
  const client = useTickwire();
  const { store, update } = sharedOf(client, "preferences", () => preferencesOf(client));
  return { ...useStore(store, LOADING), update };
}
