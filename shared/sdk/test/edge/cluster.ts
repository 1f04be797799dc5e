import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Tickwire, type TickwireOptions } from "@tickwire/client";
import WebSocket from "ws";

const SECRET = "a secret of thirty-two bytes or more";
const API_KEY = "an api key of thirty-two bytes or more";
/** Where the binaries are: those that `cargo build` made. */
const BINARIES = process.env.TICKWIRE_BIN_DIR ?? resolve(import.meta.dirname, "../../../../target/debug");
/** How long anything may take on a busy machine. */
export const PATIENCE_MS = 30_000;

/** A free port, from below those that the system gives to outgoing connections: none of these takes it before it is listened on. */
export async function freePort(): Promise<number> {
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

export async function until(what: string, holds: () => boolean | Promise<boolean>, patience = PATIENCE_MS): Promise<void> {
  const end = Date.now() + patience;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited ${patience} ms until ${what}`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

export const ready = (url: string) => () =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );

/** A token of `user`; `life` in seconds. */
export function token(user: string, life = 3_600, more: object = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1_000);
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp: now + life, iat: now, channels: ["session:*"], ...more })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

/** One process of the cluster. */
export class Process {
  #child: ChildProcess;
  #log = "";

  constructor(
    readonly program: string,
    readonly args: string[],
    readonly environment: Record<string, string> = {},
  ) {
    this.#child = this.#spawn();
  }

  #spawn(): ChildProcess {
    const path = this.program.startsWith("tickwire") ? join(BINARIES, this.program) : this.program;
    if (path !== this.program && !existsSync(path)) throw new Error(`${path} is missing: cargo build --bins`);
    const child = spawn(path, this.args, { env: { ...process.env, ...this.environment }, stdio: ["ignore", "pipe", "pipe"] });
    const note = (chunk: Buffer) => {
      this.#log = (this.#log + chunk).slice(-4_000);
    };
    child.stdout?.on("data", note);
    child.stderr?.on("data", note);
    child.on("error", (error) => note(Buffer.from(error.message)));
    return child;
  }

  get log(): string {
    return this.#log;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    await ended;
  }

  /** After `stop`: the same process again. */
  restart(): void {
    this.#child = this.#spawn();
  }
}

/** Two edges and an emitter on a real Redis. */
export class Cluster {
  readonly #directory = mkdtempSync(join(tmpdir(), "tickwire-sdk-"));
  readonly #processes: Process[] = [];
  readonly edges: { port: number; process: Process }[] = [];
  readonly #clients: Tickwire[] = [];
  emitter = 0;

  static async start(settings: Record<string, string> = {}): Promise<Cluster> {
    const cluster = new Cluster();
    const redis = await freePort();
    cluster.#run("redis-server", ["--port", String(redis), "--bind", "127.0.0.1", "--save", "", "--dir", cluster.#directory]);
    const environment = {
      TICKWIRE_AUTH__HS256_SECRET: SECRET,
      TICKWIRE_EMITTER__API_KEYS: API_KEY,
      TICKWIRE_BACKPLANE__URL: `redis://127.0.0.1:${redis}`,
      TICKWIRE_LIMITS__CONNECTIONS_PER_IP: "0",
      TICKWIRE_LIMITS__CONNECTIONS_PER_USER: "0",
      RUST_LOG: "warn",
      ...settings,
    };
    for (const node of ["edge-a", "edge-b"]) {
      const port = await freePort();
      const process = cluster.#run("tickwire-edge", ["--listen", `127.0.0.1:${port}`, "--node", node], environment);
      cluster.edges.push({ port, process });
    }
    cluster.emitter = await freePort();
    cluster.#run("tickwire-emitter", ["--listen", `127.0.0.1:${cluster.emitter}`], environment);
    for (const port of [...cluster.edges.map((edge) => edge.port), cluster.emitter]) {
      await until(`port ${port} is ready: ${cluster.logs}`, ready(`http://127.0.0.1:${port}/readyz`));
    }
    return cluster;
  }

  get logs(): string {
    return this.#processes.map(({ log }) => log).join("\n");
  }

  #run(program: string, args: string[], environment: Record<string, string> = {}): Process {
    const process = new Process(program, args, environment);
    this.#processes.push(process);
    return process;
  }

  /** A client that is destroyed with the cluster. */
  client(options: Partial<TickwireOptions> = {}): Tickwire {
    const urls = this.edges.map(({ port }) => `ws://127.0.0.1:${port}/ws`);
    const backoff = { firstMax: 200, min: 50, base: 200, max: 1_000 };
    const ws = WebSocket as unknown as TickwireOptions["WebSocket"];
    const client = new Tickwire({ urls, getToken: () => token("7"), WebSocket: ws, backoff, ...options });
    this.#clients.push(client);
    return client;
  }

  /** Asks the emitter, as a backend does. */
  async post(path: string, body: object): Promise<Record<string, unknown>> {
    const headers = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" };
    const answer = await fetch(`http://127.0.0.1:${this.emitter}${path}`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  }

  async publish(channel: string, data: unknown, more: object = {}): Promise<void> {
    await this.post("/v1/publish", { channel, data, idempotencyKey: randomBytes(8).toString("hex"), ...more });
  }

  async stop(): Promise<void> {
    try {
      for (const client of this.#clients) client.destroy();
    } finally {
      await Promise.all(this.#processes.map((process) => process.stop()));
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
