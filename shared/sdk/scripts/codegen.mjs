// Writes src/wire.gen.ts from the vectors that the Rust code is tested with; `--check` fails if it would be another text.
import { readFileSync, writeFileSync } from "node:fs";

const vectors = new URL("../../protocol/vectors/", import.meta.url);
const target = new URL("../src/wire.gen.ts", import.meta.url);
const cases = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, vectors), "utf8")).cases;

/** Fields whose type says more than their examples: by `Owner.field`, or by the field alone. */
const NAMED = {
  position: "Position",
  since: "Position",
  positions: "Position[]",
  priority: "Priority",
  class: "DeliveryClass",
  code: "ErrorCode",
  messages: "MessageFrame[]",
  delta: "Record<string, unknown>",
  params: "Record<string, unknown>",
  set: "Record<string, unknown>",
  preferences: "Preferences",
  nodes: "string[]",
  users: "string[]",
  removed: "string[]",
  keys: "string[]",
  trace: "Trace",
  "SubscriptionRequest.delta": "boolean",
  "SubscriptionRequest.trace": "boolean",
  "MessageFrame.data": "unknown",
  "PublishCommand.data": "unknown",
  "ResetFrame.reason": "ResetReason",
  "PresenceFrame.event": "PresenceChange",
  "SubscribeCommand.channels": "(string | SubscriptionRequest)[]",
  "UnsubscribeCommand.channels": "string[]",
  "Preferences.minimumLevel": "AlertLevel",
  "Preferences.rules": "PreferenceRule[]",
  "Preferences.quietHours": "QuietHours",
  "PreferenceRule.action": "RuleAction",
  "PreferenceRule.levels": "AlertLevel[]",
  "QuietHours.days": "Weekday[]",
  "SessionStatusData.status": "SessionStatus",
  "SessionStatusData.data": "SessionFigures",
  "SessionStartedData.limits": "Record<string, unknown>",
  "SessionCompletedData.summary": "Record<string, unknown>",
  "AlgorithmDecisionData.decision": "Decision",
  "AlgorithmDecisionData.marketData": "MarketView",
  "RiskAlertData.alertLevel": "RiskLevel",
  "RiskAlertData.alertType": "RiskType",
  "PositionUpdateData.riskMetrics": "Record<string, unknown>",
  "StrategyUpdateData.metrics": "Record<string, unknown>",
  "StrategyUpdateData.event": "unknown",
  "NotificationData.data": "unknown",
  "NotificationData.type": "string",
  side: "Side",
  presentation: "Presentation",
};

const pascal = (words) => words.replace(/(^|_)([a-z])/g, (_, __, letter) => letter.toUpperCase());

function primitive(owner, name, value) {
  if (value === "<now>") return "number";
  if (Array.isArray(value)) return value.every((entry) => typeof entry === "string") ? "string[]" : fail(owner, name);
  if (value === null || typeof value === "object") return fail(owner, name);
  return typeof value;
}

function fail(owner, name) {
  throw new Error(`${owner}.${name}: its examples do not say its type; name it in scripts/codegen.mjs`);
}

/** The interface that all examples fit. */
function shape(owner, examples, literalType) {
  const names = [...new Set(examples.flatMap((example) => Object.keys(example)))];
  // The id of a reply is that of its request, if that had one.
  const isOptional = (name) => name === "id" || examples.some((example) => !(name in example));
  const fields = names.map((name) => {
    const values = examples.filter((example) => name in example).map((example) => example[name]);
    const named = NAMED[`${owner}.${name}`] ?? (name === "type" && literalType ? JSON.stringify(values[0]) : NAMED[name]);
    const type = named ?? [...new Set(values.map((value) => primitive(owner, name, value)))].sort().join(" | ");
    return `  ${name}${isOptional(name) ? "?" : ""}: ${type};\n`;
  });
  return `export interface ${owner} {\n${fields.join("")}}\n`;
}

function grouped(examples, nameOf) {
  const groups = new Map();
  for (const example of examples) groups.set(nameOf(example), [...(groups.get(nameOf(example)) ?? []), example]);
  return groups;
}

/** Interfaces of the groups, and their union. */
function union(name, groups) {
  const interfaces = [...groups].map(([owner, examples]) => shape(owner, examples, true));
  return `${interfaces.join("\n")}\nexport type ${name} =\n  | ${[...groups.keys()].join("\n  | ")};\n`;
}

function serverFrames() {
  const frames = cases("events").map((it) => JSON.parse(it.json));
  const deltas = cases("deltas").flatMap((it) => (it.frame ? [JSON.parse(it.frame)] : []));
  // Examples of one key and one priority; what a message may lack, a change of it may lack.
  deltas.push({ ...deltas[0], priority: "high" }, { ...deltas[0], key: undefined });
  delete deltas.at(-1).key;
  const nameOf = (frame) => {
    if (frame.type === "presence" && "users" in frame) return "PresenceListFrame";
    return "base" in frame ? "DeltaFrame" : `${pascal(frame.type)}Frame`;
  };
  const trace = frames.flatMap((frame) => (frame.trace ? [frame.trace] : []));
  return `${shape("Trace", trace)}\n${union("ServerFrame", grouped([...frames, ...deltas], nameOf))}`;
}

function clientCommands() {
  const commands = cases("commands").flatMap((it) => it.expect.flatMap(({ request }) => (request?.type ? [request] : [])));
  const groups = grouped(commands, (command) => `${pascal(command.type)}Command`);
  for (const [owner, examples] of groups) {
    // Cases of refused channels show commands without what they must have.
    const usual = examples.filter((example) => owner === "ConnectCommand" || isWhole(example));
    groups.set(owner, usual);
  }
  const requests = commands.flatMap((command) => (command.type === "subscribe" ? command.channels : []));
  const maps = requests.filter((request) => typeof request === "object");
  return `${shape("SubscriptionRequest", [...maps, { channel: "" }])}\n${union("ClientCommand", groups)}`;
}

function isWhole({ type, channel, channels }) {
  return ["subscribe", "unsubscribe"].includes(type) ? channels !== undefined : !["publish", "history", "presence", "ack"].includes(type) || channel !== undefined;
}

function payloads() {
  const published = cases("payloads").flatMap(({ kind, published }) => published.map(({ channel, data }) => ({ kind, channel, data })));
  const nameOf = ({ kind, data }) => (kind === "notify" ? "NotificationData" : `${pascal(data.type)}Data`);
  const groups = grouped(published, nameOf);
  const text = [...groups].map(([owner, examples]) => {
    const all = examples.map(({ data }) => data);
    return shape(owner, all, owner !== "NotificationData");
  });
  const data = (owner, name) => groups.get(owner).map((it) => it.data[name]);
  const shown = published.flatMap(({ data }) => data.presentation ?? []);
  text.push(shape("Presentation", shown));
  text.push(shape("SessionFigures", data("SessionStatusData", "data")), shape("MarketView", data("AlgorithmDecisionData", "marketData")));
  // session:s1 → session:${string}, user:7:orders → user:${string}:orders
  const pattern = (channel) => channel.replace(/:(s1|7|st|BTC\/USDT)(?=:|$)/, ":${string}");
  const byChannel = grouped(published, ({ channel }) => pattern(channel));
  // The narrower pattern first: `user:7:orders` fits `user:${string}`, too.
  const segments = (channel) => channel.split(":").length;
  const channels = [...byChannel].sort(([a], [b]) => segments(b) - segments(a));
  const branches = channels.map(([channel, examples]) => {
    const types = [...new Set(examples.map(nameOf))].join(" | ");
    return `C extends ${channel.includes("$") ? `\`${channel}\`` : JSON.stringify(channel)} ? ${types}\n  : `;
  });
  return { text: text.join("\n"), channels: branches.join("") };
}

function preferences() {
  const documents = cases("preferences").map(({ document }) => document);
  const rules = documents.flatMap(({ rules }) => rules ?? []);
  const hours = documents.flatMap(({ quietHours }) => quietHours ?? []);
  return [shape("Preferences", documents), shape("PreferenceRule", rules), shape("QuietHours", hours)].join("\n");
}

const enums = cases("enums").map(({ name, values }) => `export type ${name} = ${values.map((it) => JSON.stringify(it)).join(" | ")};\n`);
const { text: payloadText, channels: channelText } = payloads();
const output = `// Made by \`cargo xtask codegen\` from shared/protocol/vectors; not to be edited.

/** \`epoch-offset\`: where a message stands in its channel. */
export type Position = string;
${enums.join("")}
${serverFrames()}
${clientCommands()}
${preferences()}
${payloadText}
/** What the typed events put into a channel of this name; \`unknown\` elsewhere. */
export type EventOf<C extends string> =
  ${channelText}unknown;
`;

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== output) {
    console.error("src/wire.gen.ts is not what the vectors say: run `cargo xtask codegen`");
    process.exit(1);
  }
} else {
  writeFileSync(target, output);
}
