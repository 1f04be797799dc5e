// Builds dist: tsc writes modules and declarations, then names that never leave the package are shortened in the modules. Bundlers
// shorten variables and `#private` members by themselves, but cannot know of a property that no app sees it.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

/** Properties of the inner modules. A name that is also one of the wire, of the API or of the platform must not stand here. */
const INNER = `accepted advised anew announced areMoving asked check climbIn climbs cursors deadline drain endAll ended
  epoch failed forgive goesOn greet greeted hear isFull isGivenUp isGreeting isMissing joinAll joinNext joined learn
  line linkLost moveTo nextUrl offset opened pause phase plan polled refreshAt refusals refuse refused renew retry
  retryAt settled spoil stage stay takeOver track unanswered wanted worked`.split(/\s+/);

/** Modules that apps and edges do not see; what all others declare is theirs. */
const isInner = (path) => /^(app-poll|share|wake|emitter|transport.(http-link|polling|sse)|core.(?!backoff).*)\.d\.ts$/.test(path);

rmSync("dist", { recursive: true, force: true });
for (const project of ["tsconfig.esm.json", "tsconfig.cjs.json"]) execFileSync("npx", ["tsc", "-p", project], { stdio: "inherit" });
writeFileSync("dist/cjs/package.json", '{"type":"commonjs"}\n');

const modules = (kind, end) => readdirSync(`dist/${kind}`, { recursive: true }).filter((path) => path.endsWith(end));
for (const path of modules("esm", ".d.ts").filter((path) => !isInner(path))) {
  const declared = readFileSync(`dist/esm/${path}`, "utf8").replace(/\/\*[^]*?\*\//g, "");
  const seen = INNER.filter((inner) => new RegExp(`\\b${inner}\\??[:(]`).test(declared));
  if (seen.length > 0) throw new Error(`${path} has a name that is to be shortened: ${seen}`);
}
/** The same letter in every module. */
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const mangleCache = Object.fromEntries(INNER.map((name, at) => [name, LETTERS[at] ?? `$${LETTERS[at % LETTERS.length]}`]));
for (const kind of ["esm", "cjs"]) {
  await build({
    entryPoints: modules(kind, ".js").map((path) => `dist/${kind}/${path}`),
    outdir: `dist/${kind}`,
    outbase: `dist/${kind}`,
    allowOverwrite: true,
    bundle: false,
    target: "es2022",
    mangleProps: new RegExp(`^(${INNER.join("|")})$`),
    mangleCache: { ...mangleCache },
  });
}
