// The page of the browser tests: what they call is put on `window.app`.
import { type Subscription, Tickwire } from "@tickwire/client";
import { TickwireProvider, useLatest, useWebSocketConnection } from "@tickwire/client/react";
import { createRoot } from "react-dom/client";

const settings = new URLSearchParams(location.hash.slice(1));
const [url = "", token = "", slow] = ["url", "token", "slow"].map((name) => settings.get(name) ?? "");
// With `slow` only the browser's own events can bring it back within a test's patience.
const backoff = slow ? { firstMax: 600_000, min: 600_000, base: 600_000, max: 600_000 } : { firstMax: 300, max: 500 };
const random = slow ? () => 0.5 : Math.random;
const client = new Tickwire({ url, token, backoff, random, onListenerError: (error) => console.error(error) });

/** Everything that came, per channel, and every gap. */
const seen: Record<string, unknown[]> = {};
const gaps: unknown[] = [];
const subscriptions = new Map<string, Subscription<unknown>>();
const states: string[] = [];
const shown: string[] = [];
client.on("state", ({ status, reason }) => states.push(reason ? `${status} ${reason}` : status));
/** What happened, by the page's clock. */
const log: { what: string; at: number }[] = [];
const note = (what: string) => log.push({ what, at: performance.now() });
client.on("state", ({ status, reason }) => note(reason ? `${status} ${reason}` : status));
document.addEventListener("visibilitychange", () => note(document.visibilityState));
document.addEventListener("resume", () => note("resume"));
// Shows whether timers run, and how often.
let beaten = 0;
setInterval(() => {
  beaten += 1;
}, 100);
const beats = () => beaten;
addEventListener("pageshow", ({ persisted }) => shown.push(persisted ? "from the cache" : "loaded"));

function follow(channel: string): void {
  const all: unknown[] = [];
  seen[channel] = all;
  const subscription = client.subscribe<string, unknown>(channel);
  subscriptions.set(channel, subscription);
  subscription.on("message", ({ data }) => all.push(data));
  subscription.on("subscribed", () => note(`live ${channel}`));
  subscription.on("gap", (gap) => gaps.push(gap));
}

function Price({ symbol }: { symbol: string }) {
  return <td id={symbol}>{useLatest(`prices:${symbol}`)?.data.price ?? "–"}</td>;
}

function Page({ symbols }: { symbols: readonly string[] }) {
  const { status } = useWebSocketConnection();
  const rows = symbols.map((symbol) => (
    <tr key={symbol}>
      <Price symbol={symbol} />
    </tr>
  ));
  return (
    <main>
      <output>{status}</output>
      <table>
        <tbody>{rows}</tbody>
      </table>
    </main>
  );
}

const root = createRoot(document.body.appendChild(document.createElement("div")));

function show(symbols: readonly string[]): void {
  root.render(
    <TickwireProvider client={client}>
      <Page symbols={symbols} />
    </TickwireProvider>,
  );
}

/** Pictures drawn within `ms`, and the tasks that were longer than 50 ms. */
async function frames(ms: number): Promise<{ fps: number; longest: number }> {
  let [drawn, longest] = [0, 0];
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
  });
  observer.observe({ type: "longtask" });
  const begun = performance.now();
  const count = () => {
    drawn += 1;
    if (performance.now() - begun < ms) requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
  await new Promise((resolve) => setTimeout(resolve, ms));
  observer.disconnect();
  return { fps: (drawn * 1_000) / ms, longest };
}

const isLive = (channel: string) => subscriptions.get(channel)?.status === "live";

const app = { client, seen, gaps, states, log, shown, beats, follow, isLive, show, frames };
export type App = typeof app;
Object.assign(window, { app });
