import { defineConfig } from "vitest/config";

const at = (path: string) => new URL(path, import.meta.url).pathname;
/** Tests use the package by its names, as apps do. */
const alias = [
  { find: /^@tickwire\/client\/react$/, replacement: at("src/react/index.ts") },
  { find: /^@tickwire\/client\/msgpack$/, replacement: at("src/msgpack.ts") },
  { find: /^@tickwire\/client$/, replacement: at("src/index.ts") },
];
/** What is published, as `npm run build` leaves it: names of inner properties are shortened there. */
const built = [
  { find: /^@tickwire\/client\/msgpack$/, replacement: at("dist/esm/msgpack.js") },
  { find: /^@tickwire\/client$/, replacement: at("dist/esm/index.js") },
];
const react18 = [
  { find: /^react-dom$/, replacement: "react-dom-18" },
  { find: /^react-dom\/(.*)$/, replacement: "react-dom-18/$1" },
  { find: /^react$/, replacement: "react-18" },
  { find: /^react\/(.*)$/, replacement: "react-18/$1" },
];
const react = { include: ["test/react/**/*.test.tsx"], environment: "jsdom" };

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: { name: "core", include: ["test/core/**/*.test.ts"], environment: "node", execArgv: ["--expose-gc"] },
      },
      { resolve: { alias }, test: { name: "react-19", ...react, env: { REACT: "19" } } },
      {
        resolve: { alias: [...alias, ...react18] },
        test: { name: "react-18", ...react, env: { REACT: "18" }, setupFiles: ["test/react/react-18.setup.ts"] },
      },
      {
        resolve: { alias: built },
        test: {
          name: "edge",
          include: ["test/edge/**/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 2,
        },
      },
      {
        resolve: { alias },
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          environment: "node",
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // One browser after the other: they share two cores.
          fileParallelism: false,
        },
      },
    ],
  },
});
