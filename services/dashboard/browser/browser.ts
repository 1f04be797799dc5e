import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
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
}

export interface Visit {
  theme?: "dark" | "light";
  mobile?: boolean;
}

/** Opens a page whose every fault is kept. Connections that a test cuts on purpose are no fault of the page. */
export async function open(browser: Browser, url: string, { theme = "dark", mobile = false }: Visit = {}): Promise<Watched> {
  const viewport = mobile ? { width: 390, height: 844 } : { width: 1440, height: 900 };
  const context = await browser.newContext({
    viewport,
    colorScheme: theme,
    locale: "en-GB",
    timezoneId: "UTC",
    deviceScaleFactor: mobile ? 2 : 1,
    isMobile: mobile,
    hasTouch: mobile,
  });
  await context.addInitScript(() =>
    globalThis.document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
      console.error(`policy: ${violatedDirective} against ${blockedURI}`),
    ),
  );
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
  await page.goto(url);
  return { page, context, faults };
}
