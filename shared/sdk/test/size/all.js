// What an app takes that uses every transport and both codecs.
export { longPolling, serverSentEvents, Tickwire, webSocket } from "../../dist/esm/index.js";
export { msgpack } from "../../dist/esm/msgpack.js";
