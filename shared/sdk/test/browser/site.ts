import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { connect } from "node:net";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { token } from "../edge/cluster.js";
import type { App } from "./app.js";

const HTML = '<!doctype html><meta charset="utf-8"><title>Tickwire</title><body><script src="/app.js"></script>';
const ROOT = new URL("../../", import.meta.url).pathname;

/** Debian's Chromium, with the cache of pages that Playwright would switch off; another one by `CHROMIUM`. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"],
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
}

/** The first example of the README, and what puts it on a page. */
export function example(): string {
  const [, code = ""] = /```tsx\n([\s\S]*?)```/.exec(readFileSync(`${ROOT}README.md`, "utf8")) ?? [];
  const mount = "createRoot(document.body.appendChild(document.createElement('div'))).render(<App />);";
  return `import { createRoot } from "react-dom/client";\n${code}\n${mount}`;
}

/** Serves a page as an app's own host does: built, with tokens at `/api/token`, and the edge behind `/ws`. */
export class Site {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(code = readFileSync(`${ROOT}test/browser/app.tsx`, "utf8"), edge = 0): Promise<Site> {
    const { outputFiles } = await build({
      stdin: { contents: code, loader: "tsx", resolveDir: `${ROOT}test/browser` },
      alias: { "@tickwire/client": `${ROOT}dist/esm/index.js`, "@tickwire/client/react": `${ROOT}dist/esm/react/index.js` },
      bundle: true,
      minify: true,
      write: false,
      jsx: "automatic",
      define: { "process.env.NODE_ENV": '"production"' },
    });
    const script = outputFiles[0]?.text ?? "";
    const server = createServer(({ url }, answer) => {
      const [type, text] =
        url === "/app.js" ? ["javascript", script] : url === "/api/token" ? ["plain", token("7")] : ["html", HTML];
      answer.writeHead(200, { "content-type": `text/${type}` }).end(text);
    });
    server.on("upgrade", ({ url, headers }, socket) => {
      const upstream = connect(edge, "127.0.0.1");
      const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      upstream.write(`GET ${url} HTTP/1.1\r\n${head.join("")}\r\n`);
      upstream.pipe(socket).pipe(upstream);
      const drop = () => {
        upstream.destroy();
        socket.destroy();
      };
      for (const end of [upstream, socket]) end.on("error", drop).on("close", drop);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Site(server);
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}/`;
  }

  /** The page's address, for a client of the edge at `url`. */
  address(url: string, more: Record<string, string> = {}): string {
    return `${this.origin}#${new URLSearchParams({ url, token: token("7"), ...more })}`;
  }

  close(): void {
    this.#server.close();
  }
}

/** A page and what went wrong in it; connections that a test cuts are no fault of the page. */
export interface Visit {
  readonly page: Page;
  readonly faults: string[];
}

export async function visit(browser: Browser, address: string): Promise<Visit> {
  const page = await (await browser.newContext()).newPage();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    const isNetwork = /WebSocket connection|net::ERR|Failed to load resource/.test(message.text());
    if (message.type() === "error" && !isNetwork) faults.push(message.text());
  });
  await page.goto(address);
  return { page, faults };
}

/** Runs in the page, with its `app`. */
export function inside<Argument, Result>(
  page: Page,
  work: (app: App, argument: Argument) => Result | Promise<Result>,
  argument: Argument,
): Promise<Result> {
  const call = `(${work})(window.app, ${JSON.stringify(argument)})`;
  return page.evaluate(call) as Promise<Result>;
}
