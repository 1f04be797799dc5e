import { type Browser, type BrowserContext, type CDPSession, chromium, type Page } from "playwright-core";
import { PATIENCE_MS } from "./cluster";

/** Debian's Chromium; another one by `CHROMIUM`. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
}

/** A page that remembers what went wrong in it. */
export interface Watched {
  page: Page;
  context: BrowserContext;
  /** Errors, policy violations and requests to elsewhere. */
  faults: string[];
  /** Of the document. */
  headers: Readonly<Record<string, string>>;
  /** Chromium's own interface, for what playwright has no word for. */
  chromium: CDPSession;
}

export interface Visit {
  theme?: "dark" | "light";
  mobile?: boolean;
  /** Browser storage as somebody left it who was here before. */
  stored?: Readonly<Record<string, string>>;
}

/** Opens a page whose every fault is kept. Connections that a test cuts on purpose are no fault of the page. */
export async function open(browser: Browser, url: string, visit: Visit = {}): Promise<Watched> {
  const { theme = "dark", mobile = false, stored = {} } = visit;
  const context = await browser.newContext({
    viewport: mobile ? { width: 390, height: 844 } : { width: 1440, height: 900 },
    colorScheme: theme,
    locale: "en-GB",
    timezoneId: "UTC",
    deviceScaleFactor: mobile ? 2 : 1,
    isMobile: mobile,
    hasTouch: mobile,
  });
  await context.addInitScript((stored) => {
    for (const [name, value] of Object.entries(stored)) localStorage.setItem(name, value);
    globalThis.document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
      console.error(`policy: ${violatedDirective} against ${blockedURI}`),
    );
  }, stored);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const isNetwork = /WebSocket connection|ERR_CONNECTION|ERR_INTERNET|Failed to load resource/.test(message.text());
    if (message.type() === "error" && !isNetwork) faults.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (!/^(http|ws):\/\/127\.0\.0\.1[:/]|^(data|blob):/.test(request.url())) faults.push(`request to ${request.url()}`);
  });
  const headers = (await page.goto(url))?.headers() ?? {};
  return { page, context, faults, headers, chromium: await context.newCDPSession(page) };
}

/** Until the connection is there. */
export const isLive = ({ page }: Watched) => page.getByText("Live", { exact: true }).first().waitFor();
