import type { Preferences } from "@tickwire/client";
import { useNotificationPreferences } from "@tickwire/client/react";
import { useEffect, useState } from "react";
import { Empty, Panel } from "../parts/parts";

const LEVELS = ["low", "medium", "high", "critical"] as const;

/** What the user wants to be told of, and when not. The server applies it on every device. */
export function PreferencesPanel() {
  const { preferences, isLoading, error, update } = useNotificationPreferences();
  const [said, setSaid] = useState<{ text: string; isFault: boolean }>();
  const change = async (set: Parameters<typeof update>[0]) => {
    try {
      await update(set);
      setSaid({ text: "Saved for all your devices.", isFault: false });
    } catch (fault) {
      setSaid({ text: `Not saved: ${fault instanceof Error ? fault.message : String(fault)}`, isFault: true });
    }
  };
  return (
    <Panel title="Preferences">
      {isLoading ? (
        <Empty title="Loading your preferences…" />
      ) : error && Object.keys(preferences).length === 0 ? (
        <Empty title="Your preferences could not be read">{error.message}</Empty>
      ) : (
        <div className="form">
          <label className="field">
            Tell me from this level on
            <select
              value={preferences.minimumLevel ?? "low"}
              onChange={(event) => change({ minimumLevel: event.target.value as NonNullable<Preferences["minimumLevel"]> })}
            >
              {levels(preferences.minimumLevel).map((level) => (
                <option key={level} value={level}>
                  {level}
                </option>
              ))}
            </select>
          </label>
          <Check label="Show pop-ups" checked={preferences.toast ?? true} onChange={(toast) => change({ toast })} />
          <Check label="Play sounds" checked={preferences.sound ?? true} onChange={(sound) => change({ sound })} />
          <Quiet quiet={preferences.quietHours} save={(quietHours) => change({ quietHours })} />
          <p className="muted small">Critical alerts are always delivered; emergencies are always shown.</p>
          <p className={said?.isFault ? "fault" : "muted small"} role="status">
            {said?.text ?? ""}
          </p>
        </div>
      )}
    </Panel>
  );
}

function levels(current: string | undefined): readonly string[] {
  return current && !(LEVELS as readonly string[]).includes(current) ? [current, ...LEVELS] : LEVELS;
}

function Check({ label, checked, onChange }: { label: string; checked: boolean; onChange: (checked: boolean) => void }) {
  return (
    <label className="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.target.checked)} />
      {label}
    </label>
  );
}

type Hours = Preferences["quietHours"];

function Quiet({ quiet, save }: { quiet: Hours; save: (hours: NonNullable<Hours> | null) => void }) {
  const [from, setFrom] = useState(quiet?.from ?? "22:00");
  const [until, setUntil] = useState(quiet?.until ?? "07:00");
  useEffect(() => {
    if (quiet) {
      setFrom(quiet.from);
      setUntil(quiet.until);
    }
  }, [quiet]);
  const timeZone = quiet?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  const isChanged = quiet !== undefined && quiet !== null && (quiet.from !== from || quiet.until !== until);
  return (
    <fieldset className="quiet">
      <legend>Quiet hours</legend>
      <Check
        label={`No pop-ups or sounds at night (${timeZone})`}
        checked={Boolean(quiet)}
        onChange={(on) => save(on ? { timeZone, from, until } : null)}
      />
      <div className="quiet-hours">
        <label>
          From <input type="time" value={from} disabled={!quiet} onChange={(event) => setFrom(event.target.value)} />
        </label>
        <label>
          until <input type="time" value={until} disabled={!quiet} onChange={(event) => setUntil(event.target.value)} />
        </label>
        <button
          type="button"
          className="button button-small"
          disabled={!isChanged}
          onClick={() => save({ ...quiet, timeZone, from, until })}
        >
          Save
        </button>
      </div>
    </fieldset>
  );
}
