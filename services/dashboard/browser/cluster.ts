import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SECRET = "a secret of thirty-two bytes or more";
const KEY = "an api key of thirty-two bytes or more";
const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** Where the binaries are: those that `cargo build` made. */
const BINARIES = process.env.TICKWIRE_BIN_DIR ?? file("../../../target/debug");
const KEYS = { TICKWIRE_AUTH__HS256_SECRET: SECRET, TICKWIRE_EMITTER__API_KEYS: KEY };
const DASHBOARD = { TICKWIRE_EDGE__DASHBOARD_DIR: file("../dist"), TICKWIRE_TELEMETRY__LOG_FILTER: "error" };

/** How long anything may take on a busy machine, milliseconds. */
export const PATIENCE_MS = 30_000;

export const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A free port, from below those that the system gives to outgoing connections: none of these takes it before it is listened on. */
async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
  throw new Error("no port is free");
}

/** A token for `user`, signed as the test's server expects it. */
export function token(user: string, roles: readonly string[] = ["desk"], seconds = 3_600): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, roles, exp, channels: ["session:*", "strategy:*"] })}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

/** A program of the cluster that can be killed and started again. */
class Program {
  #child: ChildProcess | undefined;

  constructor(
    readonly path: string,
    readonly args: readonly string[],
    readonly environment: Record<string, string> = {},
  ) {}

  up(): void {
    const env = { ...process.env, ...this.environment };
    this.#child = spawn(this.path, this.args, { env, stdio: ["ignore", "ignore", "inherit"] });
  }

  get hasEnded(): boolean {
    return this.#child?.exitCode !== null;
  }

  async down(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
}

/** What serves this build of the dashboard, with an emitter behind it. */
export class Cluster {
  readonly #programs: readonly Program[];
  readonly #ports: { edge: number; emitter: number };
  /** Only of a cluster on Redis. */
  readonly redis: Program | undefined;

  private constructor(ports: { edge: number; emitter: number }, programs: readonly Program[], redis?: Program) {
    this.#ports = ports;
    this.#programs = programs;
    this.redis = redis;
  }

  /**
   * Standalone. `isFirstRun`: as a developer starts it, with keys that it makes for itself and with every service at a port that the
   * page is told; otherwise the page knows the emitter and the feed only.
   */
  static async start({ isFirstRun = false } = {}): Promise<Cluster> {
    const [edge, emitter] = [await freePort(), await freePort()];
    const listen = [
      "--listen",
      `127.0.0.1:${edge}`,
      "--emitter-listen",
      `127.0.0.1:${emitter}`,
      "--feed-listen",
      "127.0.0.1:0",
      ...(isFirstRun ? [] : ["--no-demo"]),
    ];
    for (const service of ["session", "algorithm", "risk"]) {
      listen.push(`--${service}-listen`, `127.0.0.1:${isFirstRun ? await freePort() : 0}`);
    }
    const standalone = new Program(join(BINARIES, "tickwire-standalone"), listen, {
      ...DASHBOARD,
      ...(isFirstRun ? {} : KEYS),
    });
    const cluster = new Cluster({ edge, emitter }, [standalone]);
    await cluster.up();
    return cluster;
  }

  /** An edge and an emitter on a Redis of their own. */
  static async onRedis(): Promise<Cluster> {
    const [edge, emitter, redis] = [await freePort(), await freePort(), await freePort()];
    const directory = mkdtempSync(join(tmpdir(), "tickwire-dashboard-"));
    process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
    const store = new Program("redis-server", [
      ...["--port", String(redis), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning", "--dir", directory],
    ]);
    const environment = {
      ...DASHBOARD,
      ...KEYS,
      TICKWIRE_BACKPLANE__URL: `redis://127.0.0.1:${redis}`,
      TICKWIRE_EDGE__DASHBOARD_SERVICES__EMITTER: `http://127.0.0.1:${emitter}`,
      TICKWIRE_EMITTER__ALLOWED_ORIGINS: `http://127.0.0.1:${edge}`,
    };
    const programs = [
      store,
      new Program(join(BINARIES, "tickwire-edge"), ["--listen", `127.0.0.1:${edge}`, "--node", "edge-a"], environment),
      new Program(join(BINARIES, "tickwire-emitter"), ["--listen", `127.0.0.1:${emitter}`], environment),
    ];
    const cluster = new Cluster({ edge, emitter }, programs, store);
    await cluster.up();
    return cluster;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#ports.edge}`;
  }

  async up(): Promise<void> {
    for (const program of this.#programs) program.up();
    const deadline = Date.now() + PATIENCE_MS;
    for (const port of [this.#ports.edge, this.#ports.emitter]) {
      const isReady = () =>
        fetch(`http://127.0.0.1:${port}/readyz`).then(
          (answer) => answer.ok,
          () => false,
        );
      while (!(await isReady())) {
        const ended = this.#programs.find((program) => program.hasEnded);
        if (ended) throw new Error(`${ended.path} has ended`);
        if (Date.now() > deadline) throw new Error(`port ${port} is not ready`);
        await sleep(50);
      }
    }
  }

  async down(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.down()));
  }

  /** Calls the emitter; fails where it refuses. */
  async emit(path: string, body: unknown): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.#ports.emitter}${path}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  event(kind: string, body: Record<string, unknown>): Promise<unknown> {
    return this.emit(`/v1/events/${kind}`, body);
  }

  publish(channel: string, data: unknown, more: Record<string, unknown> = {}): Promise<unknown> {
    return this.emit("/v1/publish", { channel, data, ...more });
  }
}
