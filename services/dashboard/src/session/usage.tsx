import { useNow } from "../lib/clock";
import { Gauge } from "../parts/parts";
import { lossUsed, type SessionView, timeUsed } from "./model";

/** How much of its loss limit a session has used. */
export function LossGauge({ of }: { of: SessionView }) {
  const { share, text } = lossUsed(of);
  return <Gauge label="Loss limit" value={share} text={text} />;
}

/** How much of its time a session has used; it moves by itself. */
export function TimeGauge({ of }: { of: SessionView }) {
  const { share, text } = timeUsed(of, useNow());
  return <Gauge label="Time" value={share} text={text} />;
}
