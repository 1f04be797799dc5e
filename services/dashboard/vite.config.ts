import { createReadStream, createWriteStream, readdirSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { createGzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const sdk = (file: string) => fileURLToPath(new URL(`../../shared/sdk/src/${file}`, import.meta.url));

/** Puts `name.gz` beside every text, so that servers need not compress. */
function compressed(): Plugin {
  let directory = "dist";
  return {
    name: "compressed",
    apply: "build",
    configResolved(config) {
      directory = config.build.outDir;
    },
    async closeBundle() {
      const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
      const texts = files.filter((file) => /\.(js|css|html|svg)$/.test(file));
      const zip = (file: string) =>
        pipeline(
          createReadStream(join(directory, file)),
          createGzip({ level: 9 }),
          createWriteStream(join(directory, `${file}.gz`)),
        );
      await Promise.all(texts.map(zip));
    },
  };
}

// The SDK comes from its sources: one build, one type check, and no second copy of React.
export default defineConfig({
  plugins: [react(), compressed()],
  resolve: {
    alias: [
      { find: "@tickwire/client/react", replacement: sdk("react/index.ts") },
      { find: /^@tickwire\/client$/, replacement: sdk("index.ts") },
    ],
    dedupe: ["react", "react-dom"],
  },
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 700 },
  server: {
    fs: { allow: ["../.."] },
    proxy: {
      "/ws": { target: "http://127.0.0.1:8000", ws: true },
      "/dashboard.json": "http://127.0.0.1:8000",
      "/development.json": "http://127.0.0.1:8000",
    },
  },
  test: { include: ["test/**/*.test.ts"] },
});
