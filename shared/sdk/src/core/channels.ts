import { TickwireError } from "../errors.js";
import { isSame, widen } from "../share.js";
import type { SubscriptionEvents } from "../subscription.js";
import type { DeltaFrame, MessageFrame, Position, ServerFrame, SubscribedFrame } from "../wire.gen.js";
import { type Backoff, delay } from "./backoff.js";
import { type Consumer, CURRENT, type Line, NEVER, NEXT, type Outlet, type Wanted } from "./effect.js";
import { isLossy, Track } from "./track.js";

/** Channels in one `subscribe`, so that no frame grows beyond what an edge accepts. */
const CHANNELS_PER_REQUEST = 100;
/** Not on the link, or waiting to ask again. */
const WAITING = 0;
/** Subscribed on the link. Any greater number is the id of the request that asks for it. */
const LIVE = -1;

interface Channel {
  readonly name: string;
  /** Its users, behind one subscription at the server. */
  readonly users: Set<Consumer>;
  wanted: Wanted;
  track: Track;
  /** How it stands on the link that serves, and on its successor: `WAITING`, `LIVE` or a request's id. */
  stage: [number, number];
  /** Where the latest request asked to go on. */
  asked?: Position | undefined;
  /** The consumers have been told of the first `subscribed`. */
  announced?: boolean;
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
  /** A link serves. */
  #isOpen = false;
  /** A lower bound of the `retryAt`s, so that a message does not look at every channel. */
  #nextRetry = NEVER;

  /** `patience`: how long an answer may take, milliseconds. */
  constructor(out: Outlet, backoff: Backoff, patience: number) {
    this.#out = out;
    this.#backoff = backoff;
    this.#patience = patience;
  }

  /** Adds a user. Throws where its options and those of the others exclude each other. */
  add(now: number, name: string, user: Consumer, wanted: Wanted, since: Position | undefined): void {
    const it = this.#byName.get(name);
    if (it) {
      const wide = widen(name, it.wanted, wanted);
      it.users.add(user);
      // A view begins with a snapshot, which only a new subscription brings.
      if (!isSame(wide, it.wanted) || wide.params?.depth) this.#change(now, it, wide, since);
      return;
    }
    const track = new Track(since, wanted.filter !== undefined);
    const made: Channel = {
      name,
      users: new Set([user]),
      wanted,
      track,
      stage: [WAITING, WAITING],
      refusals: 0,
      retryAt: NEVER,
    };
    this.#byName.set(name, made);
    if (this.#isOpen) this.#join(now, [made]);
  }

  /** Tells a user who comes to a live channel how it stands. */
  greet(name: string, user: Consumer, since: Position | undefined): void {
    const it = this.#byName.get(name);
    if (!it?.stage.includes(LIVE)) return;
    const { class: kind, position } = it.track;
    const to = [user];
    this.#tell(it, "subscribed", { class: kind, position, recovered: false, first: true }, to);
    for (const message of it.track.values()) this.#hand(it, message, true, to);
    if (since && since !== position) this.#tell(it, "gap", { reason: "not_recovered", position }, to);
  }

  /** Takes a user away, and leaves the channel with its last. */
  remove(name: string, user: Consumer): void {
    const it = this.#byName.get(name);
    if (!it?.users.delete(user) || it.users.size > 0) return;
    this.#byName.delete(name);
    for (const line of [CURRENT, NEXT] as const) if (it.stage[line] !== WAITING) this.#leave(line, [it]);
  }

  /** How far a channel has been seen. */
  track(name: string): Track | undefined {
    return this.#byName.get(name)?.track;
  }

  deadline(): number {
    return this.#nextRetry;
  }

  /** Asks for what waits and is due. */
  retry(now: number): void {
    const due = this.#nextRetry <= now && this.#where((it) => it.retryAt <= now);
    if (due) this.#join(now, due);
  }

  /** A link serves: asks for all that is not on it yet. */
  joinAll(now: number): void {
    this.#isOpen = true;
    this.#join(
      now,
      this.#where((it) => it.stage[CURRENT] === WAITING),
    );
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
    return this.#where((it) => it.stage[NEXT] > 0).length > 0;
  }

  /** What stands on the successor is what stands. */
  takeOver(): void {
    this.#restage((it) => it.stage[NEXT]);
  }

  /** The link is gone, and its successor. */
  linkLost(): void {
    this.#restage(() => WAITING);
  }

  /** The successor is gone: channels that it served alone are asked for on the old link, which has gone on sending them unheard. */
  stay(now: number): void {
    const moved = this.#where(isLeft);
    for (const it of this.#byName.values()) it.stage[NEXT] = WAITING;
    this.#join(now, moved, moved);
  }

  /** An answer to a subscribe. During a handover the consumers hear of it only if something is missing. */
  subscribed(line: Line, frame: SubscribedFrame): void {
    const it = this.#byName.get(frame.channel);
    if (!it || it.stage[line] !== frame.id) return;
    it.stage[line] = LIVE;
    it.refusals = 0;
    it.retryAt = NEVER;
    this.#planRetry();
    const { track, asked } = it;
    const { position, class: kind } = frame;
    const recovered = frame.recovered || track.goesOn(asked, frame);
    const over = track.settled(frame);
    const fresh = track.joined({ ...frame, recovered });
    if (line === CURRENT) {
      this.#tell(it, "subscribed", { class: kind, position, recovered, first: !it.announced });
      it.announced = true;
    }
    // Classes without recovery begin anew with every link and lose nothing that they promise.
    if (asked && !recovered && !isLossy(kind)) this.#tell(it, "gap", { reason: "not_recovered", position });
    if (over.length > 0) this.#tell(it, "acknowledged", { positions: over });
    for (const message of fresh) this.#hand(it, message, true);
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
    if (verdict === "deliver") this.#hand(it, message, false);
    return verdict !== "gap";
  }

  /** Leaves and joins a channel again, from where it stands. */
  anew(now: number, name: string): void {
    const these = this.#where((it) => it.name === name);
    this.#join(now, these, these);
  }

  /** What happens in a channel besides messages. */
  event(line: Line, frame: ServerFrame & { channel: string }): void {
    const it = this.#speaker(line, frame.channel);
    if (!it) return;
    if (frame.type === "reset") {
      if (it.track.reset(frame.position)) this.#tell(it, "gap", frame);
    } else if (frame.type === "acked") {
      const positions = [frame.position];
      it.track.acknowledged(positions);
      this.#tell(it, "acknowledged", { positions });
    } else if (frame.type === "dropped" || frame.type === "presence") {
      this.#tell(it, frame.type, frame as never);
    }
  }

  /** An `error` to a subscribe: asks again where that can help, ends the subscription where it cannot. False if `id` was none. */
  refused(now: number, id: number | undefined, error: TickwireError): boolean {
    const refused = this.#where((it) => it.stage[CURRENT] === id && (error.channel ?? it.name) === it.name);
    for (const it of refused) {
      // A subscribe that was given up for want of an answer may have been carried out all the same.
      if (!error.retryable && error.code !== "already_subscribed") {
        this.end(it.name, error);
        continue;
      }
      it.stage[CURRENT] = WAITING;
      it.refusals += 1;
      if (error.retryable) this.#tell(it, "delayed", error);
      it.retryAt = now + (error.retryAfterMs ?? delay(this.#backoff, it.refusals, this.#out.roll()));
    }
    this.#planRetry();
    return refused.length > 0;
  }

  /** A subscription ends, and why. */
  end(name: string, error: TickwireError): void {
    const it = this.#byName.get(name);
    this.#byName.delete(name);
    if (it) this.#tell(it, "error", error);
  }

  /** Everything ends. */
  endAll(): void {
    for (const name of [...this.#byName.keys()]) this.end(name, new TickwireError({ code: "disconnected" }));
  }

  /** The client is not connected. */
  pause(): void {
    for (const it of this.#byName.values()) this.#tell(it, "status", "pending");
  }

  /** Messages that the app fetched itself while the channel was not live; what has been seen is left out. */
  polled(name: string, messages: readonly MessageFrame[]): void {
    const it = this.#byName.get(name);
    if (!it || it.stage.includes(LIVE)) return;
    for (const message of messages) if (it.track.live(message) !== "duplicate") this.#hand(it, message, true);
  }

  /** The channel if `line` speaks for it: from its `subscribed` on, the successor does. */
  #speaker(line: Line, name: string): Channel | undefined {
    const it = this.#byName.get(name);
    return it && (isLeft(it) ? NEXT : CURRENT) === line && it.stage[line] === LIVE ? it : undefined;
  }

  /** Asks for other options: the channel is left and joined from where it stands. */
  #change(now: number, it: Channel, wanted: Wanted, since: Position | undefined): void {
    it.wanted = wanted;
    // A view of a book has no positions: whoever wants the whole book says where it begins.
    if (it.track.class === "volatile" && since) it.track = new Track(since, false);
    if (this.#isOpen) this.#join(now, [it], [it]);
  }

  /** Asks for channels, each from where it stands, after those were left that may stand on the link. */
  #join(now: number, these: Channel[], left = these.filter((it) => it.stage[CURRENT] > 0)): void {
    for (const it of left) it.stage[CURRENT] = WAITING;
    this.#leave(CURRENT, left);
    this.#ask(CURRENT, these, now + this.#patience);
    this.#planRetry();
  }

  #ask(line: Line, these: Channel[], retryAt?: number): void {
    for (let from = 0; from < these.length; from += CHANNELS_PER_REQUEST) {
      const some = these.slice(from, from + CHANNELS_PER_REQUEST);
      const channels = some.map((it) => {
        // While the other link owes an answer, too, that one may hold what was acknowledged since.
        if (it.stage[line === CURRENT ? NEXT : CURRENT] <= 0) it.track.asks();
        it.asked = it.track.since();
        it.retryAt = retryAt ?? it.retryAt;
        return { channel: it.name, ...it.wanted, since: it.asked };
      });
      const id = this.#out.send(line, { type: "subscribe", channels });
      for (const it of some) it.stage[line] = id;
    }
  }

  #leave(line: Line, these: Channel[]): void {
    if (these.length > 0) this.#out.send(line, { type: "unsubscribe", channels: these.map((it) => it.name) });
  }

  #where(test: (it: Channel) => boolean): Channel[] {
    return [...this.#byName.values()].filter(test);
  }

  #restage(to: (it: Channel) => number): void {
    this.#isOpen = false;
    for (const it of this.#byName.values()) {
      it.stage = [to(it), WAITING];
      it.retryAt = NEVER;
    }
    this.#planRetry();
  }

  #planRetry(): void {
    this.#nextRetry = NEVER;
    for (const it of this.#byName.values()) this.#nextRetry = Math.min(this.#nextRetry, it.retryAt);
  }

  #hand(it: Channel, { type: _, ...message }: MessageFrame, recovered: boolean, to?: Consumer[]): void {
    this.#tell(it, "message", { ...message, recovered }, to);
  }

  #tell<Name extends keyof SubscriptionEvents>(
    it: Channel,
    name: Name,
    event: SubscriptionEvents[Name],
    to: Iterable<Consumer> = it.users,
  ): void {
    this.#out.push({ do: "deliver", to, name, event });
  }
}
