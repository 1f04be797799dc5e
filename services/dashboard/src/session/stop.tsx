import { useMemo } from "react";
import { clock } from "../lib/format";
import { call, type Polled, type ServiceError, usePolled } from "../lib/services";
import { Panel, StatusDot } from "../parts/parts";
import { Progress, type Step } from "../parts/progress";

/** An emergency stop as far as it is, as risk journals it. */
export interface Stop {
  reason: string;
  beganAt: number;
  isDone: boolean;
  /** One of an older service says only whether all is done. */
  steps?: readonly { step: "stop_session" | "flatten" | "tell"; isDone: boolean }[];
}

const NAMES = {
  stop_session: "Session stopped",
  flatten: "Orders cancelled, positions closed",
  tell: "Alert in the inbox",
} as const;

const STOP_MS = 500;

/** Its steps for people. What risk has not begun yet has happened all the same where the session says so. */
export function stepsOf(stop: Stop | undefined): readonly Step[] {
  const isOver = (step: keyof typeof NAMES) => {
    if (!stop) return step === "stop_session";
    return stop.isDone || (stop.steps?.find((it) => it.step === step)?.isDone ?? step === "stop_session");
  };
  return (Object.keys(NAMES) as (keyof typeof NAMES)[]).map((step) => ({ name: NAMES[step], isDone: isOver(step) }));
}

/** How far the emergency stop of a session is. */
export function StopProgress({ session }: { session: string }) {
  const ask = useMemo(() => () => call<Stop>("risk", `/v1/sessions/${encodeURIComponent(session)}/stop`), [session]);
  const running = usePolled(ask, STOP_MS, ({ isDone }) => isDone);
  return running.error?.kind === "absent" ? null : <Told of={running} />;
}

function Told({ of: { value, error } }: { of: Polled<Stop> }) {
  const isDone = value?.isDone ?? false;
  return (
    <Panel
      title="Emergency stop"
      aside={
        <>
          {value && <span className="muted small num">began {clock(value.beganAt)}</span>}
          <StatusDot tone={isDone ? "good" : error && !isEarly(error) ? "warn" : "busy"}>
            {isDone ? "done" : "under way"}
          </StatusDot>
        </>
      }
    >
      <Progress label="Emergency stop" steps={stepsOf(value)} />
      <p className="muted small stop-said" role="status">
        {value?.reason ?? (error && !isEarly(error) ? error.message : "The risk service takes it over…")}
      </p>
    </Panel>
  );
}

/** Risk has not heard of it yet. */
const isEarly = ({ status }: ServiceError) => status === 404;
