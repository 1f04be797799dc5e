// All JavaScript of the build, compressed as it is sent, against its limit.
import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const LIMIT_KB = 250;
const directory = fileURLToPath(new URL("../dist/assets/", import.meta.url));
const scripts = readdirSync(directory).filter((name) => name.endsWith(".js.gz"));
const kb = scripts.reduce((total, name) => total + statSync(directory + name).size, 0) / 1_000;
console.log(`JavaScript: ${kb.toFixed(1)} KB gzip in ${scripts.length} files, limit ${LIMIT_KB} KB`);
if (scripts.length === 0 || kb > LIMIT_KB) process.exitCode = 1;
