import { Tickwire } from "../client.js";
import { Emitter, reportUncaught } from "../emitter.js";
import type { TickwireOptions } from "../options.js";
import type { Message, Subscription } from "../subscription.js";
import { type UpdatePriority, UpdateQueue } from "./update-queue.js";

const HEALTH_MS = 30_000;
const LATENCY_MAX_MS = 5_000;
const TICK_MS = 100;
/** Entries of each cache, of which the oldest goes beyond it, and of the subscriptions that wait. */
const CACHE_MAX = 1_000;
const MEMORY_MAX_BYTES = 256 * 1024 * 1024;

/** One backend. */
export interface BackendService extends Omit<TickwireOptions, "autoConnect"> {
  name: string;
  /** Channels to subscribe to at once. */
  topics?: readonly string[];
  /** Backends are connected in this order. Default `medium`. */
  priority?: UpdatePriority;
}

/** How a backend does. */
export interface ServiceHealth {
  readonly isHealthy: boolean;
  /** Of the last ping; `undefined` if it had no answer. */
  readonly latencyMs: number | undefined;
  readonly checkedAt: number;
}

/** The manager's own events, beside `service.topic.type`. */
export interface IntegrationEvents {
  health: { service: string; health: ServiceHealth };
  /** The page's heap is over its limit: the caches were emptied. */
  memory: { usedBytes: number };
  /** A price changed; at most one event per symbol in `tickInterval`. */
  tick: { symbol: string; data: Readonly<Record<string, unknown>> };
}

/** Of {@link RealTimeIntegrationManager}. Times are milliseconds. */
export interface IntegrationConfig {
  services: readonly BackendService[];
  healthInterval?: number;
  latencyMax?: number;
  tickInterval?: number;
  memoryMaxBytes?: number;
}

type Bus = Record<string, Message>;

/** The earlier manager of several backends: one {@link Tickwire} client each, one event bus, caches, health. */
export class RealTimeIntegrationManager {
  readonly updates = new UpdateQueue();
  readonly #config: IntegrationConfig;
  readonly #bus = new Emitter<Bus>(reportUncaught);
  readonly #events = new Emitter<IntegrationEvents>(reportUncaught);
  readonly #clients = new Map<string, Tickwire>();
  readonly #subscriptions = new Map<string, Subscription<unknown>>();
  /** Asked for before `initialize`. */
  readonly #queued: [service: string, topic: string][] = [];
  readonly #balances = new Map<string, Readonly<Record<string, unknown>>>();
  readonly #prices = new Map<string, Readonly<Record<string, unknown>>>();
  readonly #health = new Map<string, ServiceHealth>();
  readonly #ticks = new Map<string, Readonly<Record<string, unknown>>>();
  #tick: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(config: IntegrationConfig) {
    this.#config = config;
  }

  /** Connects the backends by priority and makes the subscriptions that wait. */
  initialize(): void {
    if (this.#watch) return;
    const order: UpdatePriority[] = ["critical", "high", "medium", "low"];
    const rank = ({ priority = "medium" }: BackendService) => order.indexOf(priority);
    for (const { name, topics = [], priority: _, ...options } of [...this.#config.services].sort((a, b) => rank(a) - rank(b))) {
      const client = new Tickwire(options);
      this.#clients.set(name, client);
      client.connect();
      for (const topic of topics) this.subscribe(name, topic);
    }
    for (const [service, topic] of this.#queued.splice(0)) this.subscribe(service, topic);
    this.#watch = setInterval(() => void this.checkHealth(), this.#config.healthInterval ?? HEALTH_MS);
  }

  /** Subscribes to a topic of a backend; before `initialize` it waits. A second time changes nothing. */
  subscribe(service: string, topic: string): void {
    const client = this.#clients.get(service);
    if (!client) {
      if (this.#watch) throw new TypeError(`there is no service ${service}`);
      if (this.#queued.length >= CACHE_MAX) throw new RangeError(`${CACHE_MAX} subscriptions wait for initialize`);
      this.#queued.push([service, topic]);
      return;
    }
    const name = `${service}.${topic}`;
    if (this.#subscriptions.has(name)) return;
    const subscription = client.subscribe<string, unknown>(topic);
    this.#subscriptions.set(name, subscription);
    subscription.on("message", (message) => this.#route(service, topic, message));
    // Refused, or its grant is over: the topic may be asked for anew.
    subscription.on("error", () => this.#subscriptions.delete(name));
  }

  unsubscribe(service: string, topic: string): void {
    const name = `${service}.${topic}`;
    this.#subscriptions.get(name)?.unsubscribe();
    this.#subscriptions.delete(name);
    const waiting = this.#queued.findIndex((queued) => queued.join(".") === name);
    if (waiting >= 0) this.#queued.splice(waiting, 1);
  }

  /** Listens to `service.topic.type`; any of the three may be `*`. */
  on(route: string, listener: (message: Message) => void): () => void {
    return this.#bus.on(route, listener);
  }

  /** Listens to what the manager itself tells. */
  onEvent<Name extends keyof IntegrationEvents>(name: Name, listener: (event: IntegrationEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** The client of a backend. */
  service(name: string): Tickwire | undefined {
    return this.#clients.get(name);
  }

  /** The last balance told of an asset. */
  balance(asset: string): Readonly<Record<string, unknown>> | undefined {
    return this.#balances.get(asset);
  }

  /** The last price told of a symbol. */
  price(symbol: string): Readonly<Record<string, unknown>> | undefined {
    return this.#prices.get(symbol);
  }

  /** How each backend did at the last look. */
  health(): ReadonlyMap<string, ServiceHealth> {
    return this.#health;
  }

  /** Looks now, as it does every 30 s by itself. */
  async checkHealth(): Promise<void> {
    this.#watchMemory();
    const { latencyMax = LATENCY_MAX_MS } = this.#config;
    const checks = [...this.#clients].map(async ([service, client]) => {
      // Offline it would wait for a connection.
      const asked = client.state.status === "connected" ? client.ping() : Promise.resolve(undefined);
      const latencyMs = await asked.catch(() => undefined);
      const isHealthy = latencyMs !== undefined && latencyMs <= latencyMax;
      const health = { isHealthy, latencyMs, checkedAt: Date.now() };
      this.#health.set(service, health);
      this.#events.emit("health", { service, health });
    });
    await Promise.all(checks);
  }

  /** Ends everything for good. */
  shutdown(): void {
    clearInterval(this.#watch);
    clearTimeout(this.#tick);
    this.updates.clear();
    for (const client of this.#clients.values()) client.destroy();
    for (const map of [this.#clients, this.#subscriptions, this.#balances, this.#prices, this.#health, this.#ticks])
      map.clear();
    this.#bus.clear();
    this.#events.clear();
  }

  #route(service: string, topic: string, message: Message): void {
    const data = (message.data ?? {}) as Readonly<Record<string, unknown>>;
    const type = typeof data.type === "string" ? data.type : "message";
    if (typeof data.symbol === "string" && data.price !== undefined) this.#takePrice(data.symbol, data);
    if (type.includes("balance")) keep(this.#balances, String(data.asset ?? data.currency ?? ""), data);
    for (const s of [service, "*"]) {
      for (const t of [topic, "*"]) for (const y of [type, "*"]) this.#bus.emit(`${s}.${t}.${y}`, message);
    }
  }

  #takePrice(symbol: string, data: Readonly<Record<string, unknown>>): void {
    keep(this.#prices, symbol, data);
    keep(this.#ticks, symbol, data);
    this.#tick ??= setTimeout(() => {
      this.#tick = undefined;
      const ticks = [...this.#ticks];
      this.#ticks.clear();
      for (const [symbol, data] of ticks) this.#events.emit("tick", { symbol, data });
    }, this.#config.tickInterval ?? TICK_MS);
  }

  #watchMemory(): void {
    const { memory } = performance as { memory?: { usedJSHeapSize: number } };
    if (!memory || memory.usedJSHeapSize <= (this.#config.memoryMaxBytes ?? MEMORY_MAX_BYTES)) return;
    this.#balances.clear();
    this.#prices.clear();
    this.#events.emit("memory", { usedBytes: memory.usedJSHeapSize });
  }
}

function keep<T>(cache: Map<string, T>, key: string, value: T): void {
  // At its end again, so that the first is the oldest.
  cache.delete(key);
  cache.set(key, value);
  if (cache.size > CACHE_MAX) cache.delete(cache.keys().next().value as string);
}
