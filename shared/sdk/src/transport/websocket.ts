import type { ServerFrame } from "../wire.gen.js";
import type { Codec, Dial, Link, LinkEvents, Transport } from "./transport.js";

/** The codec that is fastest in browsers. */
export const json: Codec = {
  protocol: "tickwire.v1.json",
  encode: (commands) => JSON.stringify(commands.length === 1 ? commands[0] : commands),
  decode: (message) => {
    const frames = JSON.parse(message as string) as ServerFrame | ServerFrame[];
    return Array.isArray(frames) ? frames : [frames];
  },
};

/** A WebSocket. The token goes into the `connect` frame, because a browser shows no script why an upgrade was refused. */
export const webSocket: Transport = {
  name: "websocket",
  open({ url, codec, WebSocket }: Dial, events: LinkEvents): Link {
    const socket = new WebSocket(url, [codec.protocol]);
    const close = () => {
      try {
        socket.close(1000);
      } catch {
        // Still connecting in an implementation that does not allow it: it is closed once it is open, or by the server's timeout.
      }
    };
    const forget = () => {
      socket.onopen = close;
      socket.onmessage = socket.onclose = null;
    };
    const end = (code?: number) => {
      forget();
      events.end({ code });
    };
    socket.binaryType = "arraybuffer";
    socket.onopen = () => events.open();
    socket.onmessage = ({ data }: { data: string | ArrayBuffer }) => {
      let frames: ServerFrame[];
      try {
        frames = codec.decode(data);
      } catch {
        // What comes after it cannot be trusted: a new link recovers by position.
        close();
        return end();
      }
      if (frames.length > 0) events.frames(frames);
    };
    // The close that follows says it; but Node's `ws` throws errors that nobody listens to.
    socket.onerror = () => {};
    socket.onclose = ({ code }: { code: number }) => end(code);
    return {
      send: (commands) => socket.send(codec.encode(commands)),
      close: () => {
        forget();
        close();
      },
    };
  },
};
