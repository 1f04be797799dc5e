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
    let isOver = false;
    const end = (code?: number) => {
      if (isOver) return;
      isOver = true;
      socket.onopen = socket.onmessage = socket.onclose = null;
      // An error that comes after the end has no consequence, but Node's `ws` throws those that nobody listens to.
      socket.onerror = () => {};
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
    socket.onerror = () => {};
    socket.onclose = ({ code }: { code: number }) => end(code);
    const close = () => {
      try {
        socket.close(1000);
      } catch {
        // Still connecting in an implementation that does not allow it: the open handler is gone, the server's timeout ends it.
      }
    };
    return {
      send: (commands) => {
        if (!isOver) socket.send(codec.encode(commands));
      },
      close: () => {
        isOver = true;
        socket.onopen = () => close();
        socket.onmessage = socket.onclose = null;
        close();
      },
    };
  },
};
