import { expect, test } from "vitest";
import { Cluster, until } from "../edge/cluster.js";
import { example, launch, Site, visit } from "./site.js";

test("the README's example works as it is printed", async () => {
  const cluster = await Cluster.start();
  const site = await Site.start(example(), cluster.edges[0]?.port);
  const browser = await launch();
  try {
    await cluster.publish(
      "prices:BTC/USDT",
      { type: "market_data", symbol: "BTC/USDT", price: "64213.10" },
      { key: "BTC/USDT" },
    );
    const { page, faults } = await visit(browser, site.origin);
    await until("the price is there", async () => (await page.textContent("body"))?.includes("64213.10") ?? false);
    await cluster.publish(
      "prices:BTC/USDT",
      { type: "market_data", symbol: "BTC/USDT", price: "64213.20" },
      { key: "BTC/USDT" },
    );
    await until("it follows", async () => (await page.textContent("body"))?.includes("64213.20") ?? false);
    expect(faults).toEqual([]);
  } finally {
    await browser.close();
    site.close();
    await cluster.stop();
  }
});
