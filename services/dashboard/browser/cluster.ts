import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

const SECRET = "a secret of thirty-two bytes or more";
const KEY = "an api key of thirty-two bytes or more";
const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** How long anything may take on a busy machine, milliseconds. */
export const PATIENCE_MS = 30_000;

/** A port that was free a moment ago. */
async function port(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address ? address.port : 0;
}

/** A token for `user`, signed as the test's server expects it. */
export function token(user: string, roles: readonly string[] = ["desk"], seconds = 3_600): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, roles, exp, channels: ["session:*", "strategy:*"] })}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

/** Standalone with this build of the dashboard; it can be killed and started again on the same ports. */
export class Cluster {
  #process: ChildProcess | undefined;
  readonly #ports: { edge: number; emitter: number };
  readonly #own: boolean;

  private constructor(ports: { edge: number; emitter: number }, own: boolean) {
    this.#ports = ports;
    this.#own = own;
  }

  /** `ownSecret: false` lets the server make its own keys, as a developer's first run does. */
  static async start({ ownSecret = true } = {}): Promise<Cluster> {
    const cluster = new Cluster({ edge: await port(), emitter: await port() }, ownSecret);
    await cluster.up();
    return cluster;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#ports.edge}`;
  }

  async up(): Promise<void> {
    const { edge, emitter } = this.#ports;
    const program = process.env.TICKWIRE_STANDALONE ?? file("../../../target/debug/tickwire-standalone");
    const keys = this.#own ? { TICKWIRE_AUTH__HS256_SECRET: SECRET, TICKWIRE_EMITTER__API_KEYS: KEY } : {};
    const env = {
      ...process.env,
      ...keys,
      TICKWIRE_EDGE__DASHBOARD_DIR: file("../dist"),
      TICKWIRE_TELEMETRY__LOG_FILTER: "error",
    };
    const child = spawn(
      program,
      ["--listen", `127.0.0.1:${edge}`, "--emitter-listen", `127.0.0.1:${emitter}`, "--feed-listen", "127.0.0.1:0", "--session-listen", "127.0.0.1:0"],
      {
        env,
        stdio: ["ignore", "ignore", "inherit"],
      },
    );
    this.#process = child;
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`standalone ended with ${child.exitCode}`);
      const answers = await fetch(`${this.url}/readyz`).then(
        (answer) => answer.ok,
        () => false,
      );
      if (answers) return;
      if (Date.now() > deadline) throw new Error("standalone is not ready");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async down(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
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
