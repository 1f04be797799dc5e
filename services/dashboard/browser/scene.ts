import type { Cluster } from "./cluster";

/** Repeatable chance, so that pictures can be compared. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

const SYMBOLS = [
  ["BTC/USDT", 61_840.1, 1],
  ["ETH/USDT", 3_120.44, 2],
  ["SOL/USDT", 148.337, 3],
] as const;

const HOURS_8 = 8 * 3_600_000;

/** What every message of a feed says of its times. */
const stamps = () => ({ receivedAt: Date.now(), publishedAt: Date.now(), venueTime: Date.now() - 12 });

/** A trading day of user `dev` in messages of the real emitter: sessions, fills, alerts, prices, a book, signals. */
export async function play(cluster: Cluster): Promise<void> {
  const chance = random(7);
  const user = { userId: "dev" };
  for (const [session, algorithmId] of [
    ["btc-momentum", "momentum"],
    ["eth-reversion", "mean-reversion"],
    ["sol-imbalance-with-a-name-that-is-far-too-long", "book-imbalance"],
  ] as const) {
    await cluster.event("session-started", {
      sessionId: session,
      ...user,
      algorithmId,
      limits: { lossLimit: "1000.00", timeLimitMs: HOURS_8 },
    });
  }
  let pnl = 0;
  for (let step = 0; step < 40; step += 1) {
    pnl += (chance() - 0.42) * 60;
    await cluster.event("session-status", {
      sessionId: "btc-momentum",
      ...user,
      status: "active",
      data: {
        currentPnL: pnl.toFixed(2),
        totalTrades: step,
        lossLimitUtilization: Math.min(0.9, 0.2 + step / 100),
        timeElapsed: (step / 60) * HOURS_8,
        performanceScore: 0.71,
      },
    });
    if (step % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1_050));
    const [symbol, price, digits] = SYMBOLS[step % 3] ?? SYMBOLS[0];
    const mark = (price * (1 + (chance() - 0.5) / 100)).toFixed(digits);
    await cluster.event("position-update", {
      ...user,
      sessionId: "btc-momentum",
      symbol,
      quantity: symbol === "SOL/USDT" ? "-12.5" : "0.85",
      entryPrice: price.toFixed(digits),
      markPrice: mark,
      unrealizedPnL: (Number(mark) - price).toFixed(2),
      realizedPnL: (pnl / 3).toFixed(2),
    });
  }
  await cluster.event("session-status", {
    sessionId: "eth-reversion",
    ...user,
    status: "paused",
    data: { currentPnL: "-84.20", totalTrades: 12, lossLimitUtilization: 0.84, timeElapsed: 0.35 * HOURS_8 },
  });
  const stopped = { sessionId: "sol-imbalance-with-a-name-that-is-far-too-long", ...user };
  await cluster.event("session-status", {
    ...stopped,
    status: "emergency_stopped",
    data: { currentPnL: "-1234567.89", totalTrades: 123_456, lossLimitUtilization: 1, timeElapsed: 0.94 * HOURS_8 },
  });
  await cluster.event("emergency-stop", {
    sessionId: stopped.sessionId,
    ...user,
    reason: "The loss limit of 1,000.00 was reached; every position is closed.",
  });
  for (let step = 0; step < 6; step += 1) {
    const market = { symbol: "BTC/USDT", price: (61_800 + step * 7.3).toFixed(1), volume: "1284.2" };
    await cluster.event("algorithm-decision", {
      sessionId: "btc-momentum",
      ...user,
      algorithmId: "momentum",
      decision: ["hold", "buy", "hold", "sell", "buy", "close_position"][step],
      reasoning: `The 20-tick average ${step % 2 ? "crossed above" : "stays below"} the 50-tick one while volatility is ${(0.8 + step / 10).toFixed(1)} %, inside the filter.`,
      confidence: 0.55 + step / 20,
      marketData: market,
    });
    await cluster.event("trade-executed", {
      tradeId: `t-${step}`,
      sessionId: "btc-momentum",
      ...user,
      symbol: "BTC/USDT",
      side: step % 2 ? "buy" : "sell",
      quantity: "0.125",
      price: market.price,
      fee: "0.80",
    });
  }
  const alert = { sessionId: "btc-momentum", ...user };
  await cluster.event("risk-alert", {
    ...alert,
    alertLevel: "warning",
    alertType: "volatility",
    message: "Volatility of BTC/USDT is twice its hourly mean",
    currentValue: "2.1",
    threshold: "2.0",
  });
  await cluster.emit("/v1/users/dev/notify", {
    type: "report_ready",
    title: "Your daily report is ready",
    message: "12 trades, +412.30 USDT.",
    priority: "medium",
  });
  await cluster.event("system-notification", {
    level: "info",
    message: "The EU cluster gets new machines; sessions go on.",
    startsAt: Date.now() + 3_600_000,
    endsAt: Date.now() + 5_400_000,
  });
  await cluster.publish("agent-signals:dev", {
    type: "trading_signal",
    signalId: "s-1",
    agentId: "research-7",
    action: "buy",
    symbol: "ETH/USDT",
    quantity: "2.5",
    confidence: 0.78,
    reasoning: "Three sources agree on the upgrade's date.",
    autonomy: "approval",
    deadline: Date.now() + 300_000,
  });
  await cluster.publish("agent-signals:dev", {
    type: "trading_signal",
    signalId: "s-0",
    agentId: "research-7",
    action: "sell",
    symbol: "SOL/USDT",
    quantity: "40",
    confidence: 0.61,
    reason: "SOL/USDT is not among the symbols this agent may trade.",
    status: "refused",
  });
  await market(cluster, chance);
}

/** Prices of all, and the candles of one exchange; the rest of its market is what standalone replays. */
async function market(cluster: Cluster, chance: () => number): Promise<void> {
  const at = Date.now();
  for (const [symbol, price, digits] of SYMBOLS) {
    const data = {
      price: price.toFixed(digits),
      change: (price / 80).toFixed(digits),
      bid: (price - 0.1).toFixed(digits),
      ask: (price + 0.1).toFixed(digits),
      volume: "12842.5",
    };
    await cluster.event("market-data", { symbol, ...data });
  }
  const venue = { exchange: "binance", symbol: "BTC/USDT", replayed: true };
  const name = "binance:BTC/USDT";
  // About where the recording that standalone replays begins.
  let price = 61_750;
  const candles = Array.from({ length: 90 }, (_, index) => {
    const open = price;
    price += (chance() - 0.47) * 40;
    const [high, low] = [Math.max(open, price) + chance() * 15, Math.min(open, price) - chance() * 15];
    const text = { open: open.toFixed(2), high: high.toFixed(2), low: low.toFixed(2), close: price.toFixed(2), volume: "3.1" };
    return {
      type: "candle",
      ...venue,
      ...stamps(),
      interval: "1m",
      openTime: Math.floor(at / 60_000 - 90 + index) * 60_000,
      ...text,
      closed: true,
    };
  });
  for (const candle of candles) await cluster.publish(`candles:${name}:1m`, candle, { key: String(candle.openTime) });
}
