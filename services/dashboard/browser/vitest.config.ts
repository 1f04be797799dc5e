import { defineConfig } from "vitest/config";

/** Tests in a real browser against the real server, one after the other: they share two cores. */
export default defineConfig({
  test: { include: ["browser/**/*.test.ts"], fileParallelism: false, testTimeout: 120_000, hookTimeout: 120_000 },
});
