import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { PATIENCE_MS } from "../edge/cluster.js";
import type { App } from "./app.js";

interface Answer {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
  method?: string;
  params?: Record<string, unknown>;
}

/**
 * Chromium as a person has it: tabs behind others are hidden, their timers throttled, and they can be frozen. Playwright keeps every
 * page in the foreground, so this one is spoken to by its own protocol.
 */
export class Chromium {
  readonly #process: ChildProcess;
  readonly #socket: WebSocket;
  readonly #profile: string;
  readonly #pending = new Map<number, (answer: Answer) => void>();
  /** Errors of all pages. */
  readonly faults: string[] = [];
  #last = 0;

  private constructor(process: ChildProcess, socket: WebSocket, profile: string) {
    this.#process = process;
    this.#socket = socket;
    this.#profile = profile;
    socket.on("message", (text) => this.#take(JSON.parse(String(text)) as Answer));
  }

  /** Debian's; another one by `CHROMIUM`. */
  static async start(): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), "tickwire-chromium-"));
    const args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"];
    const child = spawn(process.env.CHROMIUM ?? "/usr/bin/chromium", [...args, `--user-data-dir=${profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const address = new Promise<string>((resolve, reject) => {
      let said = "";
      child.stderr?.on("data", (chunk) => {
        said = (said + chunk).slice(-10_000);
        const found = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
        if (found) resolve(found);
      });
      child.on("error", reject);
      child.on("exit", () => reject(new Error(`Chromium has ended: ${said}`)));
    });
    const socket = new WebSocket(await address);
    await once(socket, "open");
    return new Chromium(child, socket, profile);
  }

  #take({ id, method, params, ...answer }: Answer): void {
    if (id !== undefined) {
      this.#pending.get(id)?.(answer);
      this.#pending.delete(id);
    } else if (method === "Runtime.exceptionThrown") this.faults.push(JSON.stringify(params));
  }

  send<Result>(method: string, params: object = {}, sessionId?: string): Promise<Result> {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method} is not answered`)), PATIENCE_MS);
      this.#pending.set(id, ({ result, error }) => {
        clearTimeout(late);
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result as Result);
      });
      this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }

  /** A new tab before all others. */
  async open(url: string): Promise<Tab> {
    const { targetId } = await this.send<{ targetId: string }>("Target.createTarget", { url });
    const { sessionId } = await this.send<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(this, targetId, sessionId);
    await tab.send("Runtime.enable");
    await tab.show();
    return tab;
  }

  async stop(): Promise<void> {
    this.#socket.close();
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** A tab with the test's page. */
export class Tab {
  readonly #chromium: Chromium;
  readonly #target: string;
  readonly #session: string;

  constructor(chromium: Chromium, target: string, session: string) {
    this.#chromium = chromium;
    this.#target = target;
    this.#session = session;
  }

  send<Result>(method: string, params: object = {}): Promise<Result> {
    return this.#chromium.send(method, params, this.#session);
  }

  /** Runs in the page, with its `app`; in a frozen one too. */
  async inside<Argument, Result>(
    work: (app: App, argument: Argument) => Result | Promise<Result>,
    argument: Argument,
  ): Promise<Result> {
    const expression = `(${work})(window.app, ${JSON.stringify(argument)})`;
    const { result, exceptionDetails } = await this.send<{ result: { value: Result }; exceptionDetails?: unknown }>(
      "Runtime.evaluate",
      { expression, returnByValue: true, awaitPromise: true },
    );
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  /** Whether the page's script has run. */
  async isLoaded(): Promise<boolean> {
    const { result } = await this.send<{ result: { value: boolean } }>("Runtime.evaluate", { expression: "'app' in window" });
    return result.value;
  }

  /** Before all others: what was frozen thaws. */
  async show(): Promise<void> {
    await this.#chromium.send("Target.activateTarget", { targetId: this.#target });
  }

  /** Of a tab behind another one: no timer, no script, until it is shown or thaws. */
  async freeze(): Promise<void> {
    await this.send("Page.setWebLifecycleState", { state: "frozen" });
  }

  async thaw(): Promise<void> {
    await this.send("Page.setWebLifecycleState", { state: "active" });
  }

  async close(): Promise<void> {
    await this.#chromium.send("Target.closeTarget", { targetId: this.#target });
  }
}
