import { bytes, clock, words } from "../lib/format";
import { useLog } from "../lib/log";
import { Feed, Panel } from "../parts/parts";

interface DeadLetter {
  /** `service.topic.type` of an event that nobody could route. */
  key: string;
  reason: string;
  /** The beginning of what it carried. */
  data: string;
  dataBytes: number;
}

const SHOWN = 50;

/** Events of the platform that had no route, newest first; nothing where there was none. */
export function DeadLetters() {
  const { messages } = useLog<DeadLetter>("dead-letters");
  if (messages.length === 0) return null;
  return (
    <Panel title="Dead letters" flush>
      <Feed label="Events without a route" className="feed-short">
        {messages
          .slice(-SHOWN)
          .reverse()
          .map(({ data, position, time }) => (
            <li key={position ?? time}>
              <p className="feed-head">
                <strong>{data.key}</strong>
                <span className="muted">{words(data.reason)}</span>
                <span className="muted num">{bytes(data.dataBytes)}</span>
                <span className="muted num feed-time">{clock(time)}</span>
              </p>
              <pre>{data.data}</pre>
            </li>
          ))}
      </Feed>
    </Panel>
  );
}
