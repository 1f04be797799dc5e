import type { DeliveryClass, DeltaFrame, MessageFrame, Position, SubscribedFrame } from "../wire.gen.js";
import { order, type Place, place } from "./position.js";

/** Unacknowledged critical messages remembered per inbox; beyond it the oldest is forgotten and would be shown again. */
const ALERTS_SEEN_MAX = 10_000;
/** Values kept per `latest` channel: an edge holds no more keys of one. */
const VALUES_MAX = 10_000;

/** Classes without recovery: their current values, if any, come with every subscribe. */
export const isLossy = (kind: DeliveryClass | undefined) => kind === "latest" || kind === "volatile";

/** What to do with a live message: hand it on, drop a repetition, or ask again because some before it never came. */
export type Verdict = "deliver" | "duplicate" | "gap";

/** One channel's place in its log, as this client has seen it: what is new, what is a repetition, what is missing. */
export class Track {
  /** As the last `subscribed` said; unknown over long polling, which does not tell. */
  class: DeliveryClass | undefined;
  /** With a filter the server leaves messages out, so offsets are not dense. */
  readonly #isFiltered: boolean;
  #last: Place | undefined;
  /** Critical inbox messages delivered and not yet acknowledged: they come again on every subscribe. */
  readonly #alerts = new Map<Position, Place>();
  /** Acknowledged since the latest question: an answer that was under way then may owe them still. */
  readonly #over = new Set<Position>();
  /** The newest value of each key of a `latest` channel: for deltas, and for consumers that come later. */
  readonly #values = new Map<string | undefined, MessageFrame>();

  constructor(since: Position | undefined, isFiltered: boolean) {
    this.#last = place(since);
    this.#isFiltered = isFiltered;
  }

  /** Whether all the values that may be kept are kept: changes of others could not be put together. */
  get isFull(): boolean {
    return this.#values.size >= VALUES_MAX;
  }

  /** The newest position seen. */
  get position(): Position | undefined {
    return this.#last?.text;
  }

  /** The current values of a `latest` channel, by the age of their keys. */
  values(): IterableIterator<MessageFrame> {
    return this.#values.values();
  }

  /** A question begins, and no other is under way: its answer knows what is acknowledged by now. */
  asks(): void {
    this.#over.clear();
  }

  /** Where to recover from. */
  since(): Position | undefined {
    return isLossy(this.class) ? undefined : this.position;
  }

  /** The message that a change makes of its key's value; `undefined` if that is not the value it is for. */
  whole({ base, delta, removed, ...rest }: DeltaFrame): MessageFrame | undefined {
    const value = this.#values.get(rest.key);
    if (value?.time !== base) return undefined;
    const data: Record<string, unknown> = { ...(value.data as object), ...delta };
    for (const name of removed ?? []) delete data[name];
    return { ...rest, data };
  }

  /** Takes a `subscribed`: its messages that the consumer has not seen yet, in order. */
  joined(answer: SubscribedFrame): MessageFrame[] {
    this.class = answer.class;
    const known = this.since() && this.#last;
    const top = place(answer.position);
    const fresh = answer.messages.filter((message) => this.#admit(message));
    const keys = new Set(answer.messages.map(({ key }) => key));
    // The whole state has come; a poll, which does not tell its class, brings what changed.
    if (this.class) for (const key of this.#values.keys()) if (!keys.has(key)) this.#values.delete(key);
    // Without recovery the log may have begun anew: what the server says now is where live messages follow on.
    if (!known || (top && !answer.recovered)) this.#last = top;
    else if (top) this.#last = order(top, known) > 0 ? top : known;
    return fresh;
  }

  /** Judges a live message. */
  live(message: MessageFrame): Verdict {
    const [at, last] = [place(message.position), this.#last];
    if (this.class === "reliable" && at && last && !this.#isFiltered) {
      if (at.epoch === last.epoch ? at.offset > last.offset + 1 : at.epoch > last.epoch) return "gap";
    }
    return this.#admit(message) ? "deliver" : "duplicate";
  }

  /** The history was lost: what follows counts from `position`. False if this client came past it on another link. */
  reset(position: Position): boolean {
    const at = place(position);
    const isPast = !at || (this.#last?.epoch === at.epoch && order(this.#last, at) >= 0);
    if (!isPast) this.#last = at;
    return !isPast;
  }

  /**
   * Whether an answer that denies the recovery from `asked` brings all that is missing: the log began anew after the question,
   * the link that still served has told so, and the answer goes on where the new log stands here.
   */
  goesOn(asked: Position | undefined, answer: SubscribedFrame): boolean {
    const [from, last, top] = [place(asked), this.#last, place(answer.position)];
    if (answer.class !== "reliable" || !from || !last || !top) return false;
    const oldest = place(answer.messages[0]?.position);
    const isJoined = order(top, last) <= 0 || (oldest?.epoch === last.epoch && oldest.offset <= last.offset + 1);
    return from.epoch !== last.epoch && top.epoch === last.epoch && isJoined;
  }

  /** Takes out the critical messages that were delivered and that a `subscribed` no longer owes. */
  settled(answer: SubscribedFrame): Position[] {
    const top = place(answer.position);
    // Where something may be lost nothing can be said.
    if (!top || !answer.recovered) return [];
    const owed = new Set(answer.messages.map((message) => message.position));
    const over = [...this.#alerts].filter(([at, it]) => it.epoch === top.epoch && order(it, top) <= 0 && !owed.has(at));
    const positions = over.map(([at]) => at);
    this.acknowledged(positions);
    return positions;
  }

  /** These were acknowledged and will not come again. */
  acknowledged(positions: readonly Position[]): void {
    for (const position of positions) {
      this.#alerts.delete(position);
      if (this.#over.size < ALERTS_SEEN_MAX) this.#over.add(position);
    }
  }

  #admit(message: MessageFrame): boolean {
    const at = place(message.position);
    if ((this.class === "latest" || (!this.class && message.key !== undefined)) && !this.#keep(message)) return false;
    if (!at || isLossy(this.class)) return true;
    const isNewer = !this.#last || order(at, this.#last) > 0;
    if (isNewer) this.#last = at;
    const position = message.position as Position;
    if (this.class !== "inbox" || message.priority !== "critical") return isNewer;
    if (this.#alerts.has(position) || this.#over.has(position)) return false;
    this.#alerts.set(position, at);
    if (this.#alerts.size > ALERTS_SEEN_MAX) {
      for (const oldest of this.#alerts.keys()) return this.#alerts.delete(oldest);
    }
    return true;
  }

  /** Keeps a value; false if it is the one that is kept already. */
  #keep(message: MessageFrame): boolean {
    const old = this.#values.get(message.key);
    if (old?.time === message.time && JSON.stringify(old.data) === JSON.stringify(message.data)) return false;
    if (old || !this.isFull) this.#values.set(message.key, message);
    return true;
  }
}
