import { type Report, reportUncaught } from "../emitter.js";

/** How urgent an update of the page is; `critical` first. */
export type UpdatePriority = "critical" | "high" | "medium" | "low";

const ORDER: readonly UpdatePriority[] = ["critical", "high", "medium", "low"];
/** Updates that wait; beyond it the oldest of the lowest priority is dropped and counted. */
const WAITING_MAX = 1_000;
/** Time given to updates in one frame; what is left waits for the next. Critical ones do not. */
const BUDGET_MS = 8;

/** Updates of the page, run by priority within each frame's time. */
export class UpdateQueue {
  /** Updates dropped because too many waited. */
  dropped = 0;
  readonly #lanes = new Map<UpdatePriority, (() => void)[]>(ORDER.map((priority) => [priority, []]));
  readonly #report: Report;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(report: Report = reportUncaught) {
    this.#report = report;
  }

  get size(): number {
    let size = 0;
    for (const lane of this.#lanes.values()) size += lane.length;
    return size;
  }

  push(priority: UpdatePriority, update: () => void): void {
    this.#lanes.get(priority)?.push(update);
    if (this.size > WAITING_MAX) this.#drop();
    this.#timer ??= setTimeout(() => this.#run(), 16);
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const lane of this.#lanes.values()) lane.length = 0;
  }

  #drop(): void {
    for (const priority of [...ORDER].reverse()) {
      if (!this.#lanes.get(priority)?.shift()) continue;
      this.dropped += 1;
      return;
    }
  }

  #run(): void {
    this.#timer = undefined;
    const end = performance.now() + BUDGET_MS;
    for (const priority of ORDER) {
      const lane = this.#lanes.get(priority) ?? [];
      while (lane.length > 0 && (priority === "critical" || performance.now() < end)) {
        try {
          lane.shift()?.();
        } catch (error) {
          this.#report(error);
        }
      }
    }
    if (this.size > 0) this.#timer = setTimeout(() => this.#run(), 16);
  }
}
