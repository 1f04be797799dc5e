import type { Message } from "@tickwire/client";
import { useChannel, useTickwire } from "@tickwire/client/react";
import { type FormEvent, useCallback, useEffect, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { clock, count, span, words } from "../lib/format";
import { quantile, STAGES, stagesOf } from "../operations/latency";
import { Badge, Empty, Feed, Panel, StatusDot } from "../parts/parts";

const SHOWN = 60;
const SHARES = [0.5, 0.95, 0.99] as const;
const SAMPLES_MAX = 1_000;
/** What a channel's name may hold. */
const NAME = /^[\x21-\x7e]{1,255}$/;

/** What passes a channel that this user may read, as it comes, with where its time went. */
export default function Tap() {
  const [query, setQuery] = useSearchParams();
  const channel = query.get("channel") ?? "";
  const [text, setText] = useState(channel);
  const open = (event: FormEvent) => {
    event.preventDefault();
    setQuery({ channel: text.trim() });
  };
  return (
    <div className="tap">
      <h1 className="sr-only">Live tap</h1>
      <Panel title="Live tap">
        <form className="inline-form" onSubmit={open}>
          <input
            aria-label="Channel"
            placeholder="room:lobby"
            value={text}
            maxLength={255}
            spellCheck={false}
            onChange={(event) => setText(event.target.value)}
          />
          <button type="submit" className="button button-primary" disabled={!NAME.test(text.trim())}>
            Tap
          </button>
        </form>
        <p className="muted small">
          Shows every message of a channel that your token may read, its position, and how long each stage took.
        </p>
      </Panel>
      {NAME.test(channel) && <Stream channel={channel} key={channel} />}
    </div>
  );
}

function Stream({ channel }: { channel: string }) {
  const client = useTickwire();
  const [isPaused, setPaused] = useState(false);
  const [seen, setSeen] = useState(0);
  const samples = useRef<(readonly (number | undefined)[])[]>([]);
  const counted = useRef(0);
  const onMessage = useCallback((message: Message<unknown>) => {
    counted.current += 1;
    if (message.trace && !message.recovered) {
      samples.current.push(stagesOf(message.trace, Date.now()));
      if (samples.current.length > SAMPLES_MAX) samples.current.shift();
    }
  }, []);
  const { messages, status, error } = useChannel<string, unknown>(channel, { trace: true, limit: SHOWN, onMessage });
  const [past, setPast] = useState<readonly Message<unknown>[]>([]);
  useEffect(() => {
    const timer = setInterval(() => setSeen(counted.current), 500);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    let isOver = false;
    client.history(channel, { reverse: true, limit: 20 }).then(
      (answer) => !isOver && setPast(answer.messages.reverse().map(({ type: _, ...it }) => ({ ...it, recovered: true }))),
      // A volatile channel has none.
      () => {},
    );
    return () => {
      isOver = true;
    };
  }, [client, channel]);
  const shown = useRef<readonly Message<unknown>[]>([]);
  if (!isPaused) {
    const positions = new Set(messages.map((it) => it.position));
    shown.current = [...past.filter((it) => !it.position || !positions.has(it.position)), ...messages].slice(-SHOWN).reverse();
  }
  return (
    <>
      <Panel title="Latency by stage" aside={<span className="muted num">{count(samples.current.length)} live messages</span>}>
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">Stage</th>
              {SHARES.map((share) => (
                <th key={share} scope="col" className="right">
                  p{share * 100}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {STAGES.map((name, index) => {
              const values = samples.current.map((it) => it[index]).filter((it) => it !== undefined);
              return (
                <tr key={name}>
                  <td>{name}</td>
                  {SHARES.map((share) => (
                    <td key={share} className="num right">
                      {span(quantile(values, share))}
                    </td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </table>
        <p className="muted small">Each stage is told by its own machine's clock.</p>
      </Panel>
      <Panel
        title={channel}
        flush
        aside={
          <>
            <span className="muted num">{count(seen)} seen</span>
            <StatusDot tone={status === "live" ? "good" : status === "ended" ? "bad" : "busy"}>{status}</StatusDot>
            <button type="button" className="button button-small" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
              {isPaused ? "Follow" : "Pause"}
            </button>
          </>
        }
      >
        {shown.current.length === 0 ? (
          <Empty title={error ? "This channel cannot be tapped" : "Nothing came yet"}>{error?.message}</Empty>
        ) : (
          <Feed label="Newest messages" className="tap-list">
            {shown.current.map((it) => (
              <li key={it.position ?? `${it.key ?? ""} ${it.time} ${JSON.stringify(it.trace ?? "")}`}>
                <p className="feed-head">
                  <span className="num muted">{clock(it.time)}</span>
                  {it.position && <span className="num muted">{it.position}</span>}
                  <Kind of={it.data} />
                  {it.key && <Badge>{it.key}</Badge>}
                  {it.priority && <Badge tone={it.priority === "critical" ? "bad" : "info"}>{it.priority}</Badge>}
                  {it.recovered && <Badge>from history</Badge>}
                </p>
                <pre>{JSON.stringify(it.data)}</pre>
              </li>
            ))}
          </Feed>
        )}
      </Panel>
    </>
  );
}

/** What a message calls itself. */
function Kind({ of }: { of: unknown }) {
  const type = typeof of === "object" && of !== null ? (of as { type?: unknown }).type : undefined;
  return typeof type === "string" ? <strong>{words(type)}</strong> : null;
}
