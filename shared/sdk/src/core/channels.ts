import type { TickwireError } from "../errors.js";
import type { DeltaFrame, MessageFrame, Position, ServerFrame, SubscribedFrame } from "../wire.gen.js";
import { type Backoff, delay } from "./backoff.js";
import { type ChannelEvent, CURRENT, type Line, NEXT, type Outlet, type Wanted } from "./effect.js";
import { Track } from "./track.js";

/** Channels in one `subscribe`, so that no frame grows beyond what an edge accepts. */
const CHANNELS_PER_REQUEST = 100;
/** Not on the link, or waiting to ask again. */
const WAITING = 0;
/** Subscribed on the link. Any greater number is the id of the request that asks for it. */
const LIVE = -1;

interface Channel {
  wanted: Wanted;
  track: Track;
  /** How it stands on the link that serves, and on its successor: `WAITING`, `LIVE` or a request's id. */
  stage: [number, number];
  /** Where the latest request asked to go on. */
  asked: Position | undefined;
  /** The consumer has been told of the first `subscribed`. */
  announced: boolean;
  /** Refusals in a row. */
  refusals: number;
  /** When to ask again. */
  retryAt: number;
}

/**
 * The old link is not heard any more. Values of a `latest` channel have no positions, and the successor's answer may be older
 * than what the old link brings meanwhile: such a channel is heard on neither from the question to the answer.
 */
function isLeft({ stage, track }: Channel): boolean {
  return stage[NEXT] === LIVE || (stage[NEXT] > 0 && track.class === "latest");
}

/** Subscriptions over the links that carry them: each is made again on every link, from its last position. */
export class Channels {
  readonly #byName = new Map<string, Channel>();
  readonly #out: Outlet;
  readonly #backoff: Backoff;
  readonly #patience: number;
  /** A lower bound of the `retryAt`s, so that a message does not look at every channel. */
  #nextRetry = Number.POSITIVE_INFINITY;

  /** `patience`: how long an answer may take, milliseconds. */
  constructor(out: Outlet, backoff: Backoff, patience: number) {
    this.#out = out;
    this.#backoff = backoff;
    this.#patience = patience;
  }

  add(channel: string, wanted: Wanted, since: Position | undefined): void {
    const track = new Track(since, wanted.filter !== undefined);
    const stage: [number, number] = [WAITING, WAITING];
    const retryAt = Number.POSITIVE_INFINITY;
    this.#byName.set(channel, { wanted, track, stage, asked: undefined, announced: false, refusals: 0, retryAt });
  }

  /** Forgets a channel, and leaves it where it stands. */
  remove(channel: string): void {
    const left = this.#byName.get(channel);
    if (!left) return;
    this.#byName.delete(channel);
    for (const line of [CURRENT, NEXT] as const) if (left.stage[line] !== WAITING) this.#leave(line, [channel]);
  }

  /** Asks for other options: the channel is left and joined from where it stands. */
  change(now: number, channel: string, wanted: Wanted, since: Position | undefined, isReady: boolean): void {
    const it = this.#byName.get(channel);
    if (!it) return;
    it.wanted = wanted;
    // A view of a book has no positions: whoever wants the whole book says where it begins.
    if (it.track.class === "volatile" && since !== undefined) it.track = new Track(since, false);
    it.track.filtered = wanted.filter !== undefined;
    // Values that were not asked for before come only with an answer to no position.
    if (isReady) this.#anew(now, channel, it);
  }

  /** The current values of a `latest` channel, for a consumer that comes later. */
  track(channel: string): Track | undefined {
    return this.#byName.get(channel)?.track;
  }

  isLive(channel: string): boolean {
    const it = this.#byName.get(channel);
    return it !== undefined && (it.stage[CURRENT] === LIVE || it.stage[NEXT] === LIVE);
  }

  deadline(): number {
    return this.#nextRetry;
  }

  /** Asks for what waits and is due. */
  retry(now: number): void {
    if (this.#nextRetry <= now)
      this.join(
        now,
        this.#where((it) => it.retryAt <= now),
      );
  }

  /** Asks for all that is not on the current link yet. */
  joinAll(now: number): void {
    this.join(
      now,
      this.#where((it) => it.stage[CURRENT] === WAITING),
    );
  }

  /** Asks for `channels`, each from where it stands. */
  join(now: number, channels: string[]): void {
    const unanswered = channels.filter((name) => (this.#byName.get(name)?.stage[CURRENT] ?? 0) > 0);
    if (unanswered.length > 0) this.#leave(CURRENT, unanswered);
    this.#ask(CURRENT, channels, now + this.#patience);
    this.#planRetry();
  }

  /** Asks the successor for what stands on the link that serves. */
  joinNext(): void {
    this.#ask(
      NEXT,
      this.#where((it) => it.stage[CURRENT] === LIVE),
    );
  }

  /** The successor still owes an answer. */
  areMoving(): boolean {
    return [...this.#byName.values()].some((it) => it.stage[NEXT] > 0);
  }

  /** What stands on the successor is what stands. */
  takeOver(): void {
    this.#restage((it) => [it.stage[NEXT], WAITING]);
  }

  /** The link is gone, and its successor. */
  linkLost(): void {
    this.#restage(() => [WAITING, WAITING]);
  }

  /** The successor is gone: channels that it served alone are asked for on the old link, which has gone on sending them unheard. */
  stay(now: number): void {
    const moved = this.#where(isLeft);
    for (const it of this.#byName.values()) {
      if (isLeft(it)) it.stage[CURRENT] = WAITING;
      it.stage[NEXT] = WAITING;
    }
    if (moved.length === 0) return;
    this.#leave(CURRENT, moved);
    this.join(now, moved);
  }

  /** An answer to a subscribe. During a handover the consumer hears of it only if something is missing. */
  subscribed(line: Line, frame: SubscribedFrame): void {
    const it = this.#byName.get(frame.channel);
    if (!it || frame.id === undefined || it.stage[line] !== frame.id) return;
    it.stage[line] = LIVE;
    it.refusals = 0;
    it.retryAt = Number.POSITIVE_INFINITY;
    this.#planRetry();
    const { track } = it;
    // Classes without recovery begin anew with every link and lose nothing that they promise.
    const isLossless = frame.class !== "latest" && frame.class !== "volatile";
    const recovered = frame.recovered || track.goesOn(it.asked, frame);
    const isMissing = isLossless && !recovered && it.asked !== undefined;
    const over = track.settled(frame);
    const fresh = track.joined(recovered ? { ...frame, recovered } : frame);
    const { position } = frame;
    if (line === CURRENT) {
      const first = !it.announced;
      it.announced = true;
      this.#tell(frame.channel, { type: "subscribed", class: frame.class, position, recovered, first });
    }
    if (isMissing) this.#tell(frame.channel, { type: "gap", reason: "not_recovered", position });
    if (over.length > 0) this.#tell(frame.channel, { type: "acknowledged", positions: over });
    for (const message of fresh) this.#tell(frame.channel, { type: "message", message, recovered: true });
  }

  /** A live message or a change of a value; false if what came before it is missing. */
  message(line: Line, frame: MessageFrame | DeltaFrame): boolean {
    const it = this.#speaker(line, frame.channel);
    if (!it) return true;
    const message = "base" in frame ? it.track.whole(frame) : frame;
    if (!message) {
      // A value that could not be kept cannot be changed: from now on whole ones are wanted.
      if (it.track.isFull) it.wanted = { ...it.wanted, delta: false };
      return false;
    }
    const verdict = it.track.live(message);
    if (verdict === "deliver") this.#tell(frame.channel, { type: "message", message, recovered: false });
    return verdict !== "gap";
  }

  /** Leaves and joins a channel again, from where it stands. */
  anew(now: number, channel: string): void {
    const it = this.#byName.get(channel);
    if (it) this.#anew(now, channel, it);
  }

  /** What happens in a channel besides messages. */
  event(line: Line, frame: ServerFrame & { channel: string }): void {
    const it = this.#speaker(line, frame.channel);
    if (!it) return;
    if (frame.type === "reset") {
      const { reason, position } = frame;
      if (it.track.reset(position)) this.#tell(frame.channel, { type: "gap", reason, position });
    } else if (frame.type === "acked") {
      it.track.acknowledged([frame.position]);
      this.#tell(frame.channel, { type: "acknowledged", positions: [frame.position] });
    } else if (frame.type === "dropped") {
      this.#tell(frame.channel, { type: "dropped", count: frame.count });
    } else if (frame.type === "presence" && "event" in frame) {
      this.#tell(frame.channel, { type: "presence", event: frame.event, userId: frame.userId });
    }
  }

  /** An `error` to a subscribe: asks again where that can help, ends the subscription where it cannot. False if `id` was none. */
  refused(now: number, id: number | undefined, error: TickwireError): boolean {
    if (id === undefined) return false;
    const refused = [...this.#byName].filter(
      ([name, it]) => it.stage[CURRENT] === id && (error.channel === undefined || error.channel === name),
    );
    for (const [name, it] of refused) {
      // A subscribe that was given up for want of an answer may have been carried out all the same.
      if (!error.retryable && error.code !== "already_subscribed") {
        this.end(name, error);
        continue;
      }
      it.stage[CURRENT] = WAITING;
      it.refusals += 1;
      if (error.retryable) this.#tell(name, { type: "delayed", error });
      it.retryAt = now + (error.retryAfterMs ?? delay(this.#backoff, it.refusals, this.#out.roll()));
    }
    this.#planRetry();
    return refused.length > 0;
  }

  /** The server ended a subscription. */
  end(channel: string, error: TickwireError): void {
    if (this.#byName.delete(channel)) this.#tell(channel, { type: "ended", error });
  }

  /** Everything ends. */
  endAll(error: TickwireError): void {
    for (const name of [...this.#byName.keys()]) this.end(name, error);
  }

  /** Messages that the app fetched itself while the channel was not live; what has been seen is left out. */
  polled(channel: string, messages: readonly MessageFrame[]): void {
    const it = this.#byName.get(channel);
    if (!it || this.isLive(channel)) return;
    for (const message of messages) {
      if (it.track.live(message) !== "duplicate") this.#tell(channel, { type: "message", message, recovered: true });
    }
  }

  /** The channel if `line` speaks for it: from its `subscribed` on, the successor does. */
  #speaker(line: Line, channel: string): Channel | undefined {
    const it = this.#byName.get(channel);
    if (!it) return undefined;
    return (isLeft(it) ? NEXT : CURRENT) === line && it.stage[line] === LIVE ? it : undefined;
  }

  #anew(now: number, channel: string, it: Channel): void {
    it.stage[CURRENT] = WAITING;
    this.#leave(CURRENT, [channel]);
    this.join(now, [channel]);
  }

  #ask(line: Line, names: string[], retryAt?: number): void {
    for (let from = 0; from < names.length; from += CHANNELS_PER_REQUEST) {
      const id = this.#out.id();
      const channels = names.slice(from, from + CHANNELS_PER_REQUEST).flatMap((channel) => {
        const it = this.#byName.get(channel);
        if (!it) return [];
        it.stage[line] = id;
        if (!(it.stage[CURRENT] > 0 && it.stage[NEXT] > 0)) it.track.asks();
        it.asked = it.track.since();
        it.retryAt = retryAt ?? it.retryAt;
        return { channel, ...it.wanted, ...(it.asked && { since: it.asked }) };
      });
      this.#out.push({ do: "send", line, commands: [{ type: "subscribe", id, channels }] });
    }
  }

  #where(test: (it: Channel) => boolean): string[] {
    return [...this.#byName].filter(([, it]) => test(it)).map(([name]) => name);
  }

  #leave(line: Line, channels: string[]): void {
    this.#out.push({ do: "send", line, commands: [{ type: "unsubscribe", id: this.#out.id(), channels }] });
  }

  #restage(to: (it: Channel) => [number, number]): void {
    for (const it of this.#byName.values()) {
      it.stage = to(it);
      it.retryAt = Number.POSITIVE_INFINITY;
    }
    this.#planRetry();
  }

  #planRetry(): void {
    this.#nextRetry = Number.POSITIVE_INFINITY;
    for (const it of this.#byName.values()) this.#nextRetry = Math.min(this.#nextRetry, it.retryAt);
  }

  #tell(channel: string, event: ChannelEvent): void {
    this.#out.push({ do: "deliver", channel, event });
  }
}
