import { Tickwire } from "@tickwire/client";
import {
  TickwireProvider,
  useChannel,
  useLatest,
  useNotificationPreferences,
  useOrderBook,
  usePresence,
  useRealTimeMarketData,
  useRealTimeNotifications,
  useRealTimeSessionStatus,
  useWebSocketConnection,
} from "@tickwire/client/react";
import { act, type ReactNode, StrictMode, useState, version } from "react";
import { createRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { FakeEdge, message, pass } from "../fake-edge.js";

let edge: FakeEdge;
let client: Tickwire;
let root: Root;
let page: HTMLElement;

beforeEach(() => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  vi.useFakeTimers();
  edge = new FakeEdge();
  edge.serve();
  client = new Tickwire({ url: "ws://a/ws", token: "t", WebSocket: edge.WebSocket, random: () => 0.5 });
  page = document.createElement("main");
  root = createRoot(page);
});

afterEach(async () => {
  await act(async () => root.unmount());
  await act(() => pass(1_000));
  expect(client.state.status, "the last unmount disconnects").toBe("disconnected");
  client.destroy();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

async function show(children: ReactNode): Promise<void> {
  const tree = (
    <StrictMode>
      <TickwireProvider client={client}>{children}</TickwireProvider>
    </StrictMode>
  );
  await act(async () => root.render(tree));
  await act(() => pass(400));
}

async function say(...frames: object[]): Promise<void> {
  await act(async () => {
    edge.socket.push(...frames);
    await pass(300);
  });
}

test("the React under test is the one that the project names", () => {
  expect(version.split(".")[0]).toBe(process.env.REACT);
});

describe("under StrictMode", () => {
  test("one connection and one subscription are made, however often effects run", async () => {
    const Price = () => <b>{useLatest("prices:X")?.data.price}</b>;
    await show([<Price key="1" />, <Price key="2" />]);
    expect(edge.sockets).toHaveLength(1);
    expect(edge.socket.of("subscribe").flatMap(({ channels }) => channels)).toHaveLength(1);
    expect(edge.socket.of("unsubscribe")).toHaveLength(0);
    await say(message("prices:X", undefined, { type: "market_data", symbol: "X", price: "1.10", timestamp: 1 }, { key: "X" }));
    expect(page.textContent).toBe("1.101.10");
  });

  test("a component that moves keeps its subscription; the last that leaves ends it", async () => {
    let set: (where: number) => void = () => {};
    const Room = () => <i>{useChannel("room:1").status}</i>;
    const App = () => {
      const [where, setWhere] = useState(0);
      set = setWhere;
      return where < 2 ? <Room key={where} /> : null;
    };
    await show(<App />);
    expect(page.textContent).toBe("live");
    await act(async () => set(1));
    await act(() => pass(50));
    expect(edge.socket.of("unsubscribe")).toHaveLength(0);
    await act(async () => set(2));
    await act(() => pass(50));
    expect(edge.socket.of("unsubscribe")).toMatchObject([{ channels: ["room:1"] }]);
  });
});

describe("updates", () => {
  test("a thousand messages in a frame render once and lose none of them, nor the last value", async () => {
    let renders = 0;
    const seen: unknown[] = [];
    const Ticks = () => {
      renders += 1;
      const { latest } = useChannel("prices:all", { limit: 0, onMessage: ({ data }) => seen.push(data) });
      return <b>{[...latest.values()].map(({ data }) => data.price).join()}</b>;
    };
    await show(<Ticks />);
    const before = renders;
    await act(async () => {
      for (let n = 0; n < 1_000; n += 1) {
        edge.socket.push(message("prices:all", undefined, { price: n }, { key: `k${n % 3}` }));
      }
      await pass(16);
    });
    expect(renders - before).toBeLessThanOrEqual(2);
    expect(seen).toHaveLength(1_000);
    expect(page.textContent).toBe("999,997,998");
  });

  test("a row renders for its own symbol only", async () => {
    const renders: Record<string, number> = {};
    const Row = ({ symbol }: { symbol: string }) => {
      renders[symbol] = (renders[symbol] ?? 0) + 1;
      return useRealTimeMarketData(["A", "B"], ({ prices }) => prices[symbol]?.data.price ?? "–");
    };
    await show([<Row key="a" symbol="A" />, <Row key="b" symbol="B" />]);
    const before = renders.B;
    await say(message("prices:A", undefined, { price: "2" }, { key: "A" }));
    expect(page.textContent).toBe("2–");
    expect(renders.B).toBe(before);
  });

  test("what a component's callback throws disturbs no other", async () => {
    const report = vi.spyOn(console, "error").mockImplementation(() => {});
    const onError = vi.fn((event: ErrorEvent) => event.preventDefault());
    window.addEventListener("error", onError);
    const seen: unknown[] = [];
    const Bad = () => <i>{useChannel("room:1", { onMessage: () => fail() }).messages.length}</i>;
    const Good = () => <i>{useChannel("room:1", { onMessage: ({ data }) => seen.push(data) }).messages.length}</i>;
    const fail = () => {
      throw new Error("of the app");
    };
    await show([<Bad key="1" />, <Good key="2" />]);
    await say(message("room:1", "1-1", 1), message("room:1", "1-2", 2));
    expect(seen).toEqual([1, 2]);
    expect(page.textContent).toBe("22");
    window.removeEventListener("error", onError);
    report.mockRestore();
  });
});

describe("hooks", () => {
  test("useWebSocketConnection follows the connection", async () => {
    const Status = () => <b>{useWebSocketConnection().status}</b>;
    await show(<Status />);
    expect(page.textContent).toBe("connected");
    await act(async () => {
      edge.socket.end(1006);
      await pass(300);
    });
    expect(page.textContent).toBe("reconnecting");
    await act(() => pass(1_500));
    expect(page.textContent).toBe("connected");
  });

  test("useRealTimeSessionStatus begins with the history and goes on live", async () => {
    edge.serve();
    const answer = edge.answer;
    const status = (value: string, pnl: string) => ({
      type: "session_status",
      sessionId: "42",
      status: value,
      data: { currentPnL: pnl },
    });
    edge.answer = (socket, command) => {
      answer(socket, command);
      if (command.type !== "history") return;
      const messages = [message(command.channel, "1-1", status("paused", "1.00"))];
      setTimeout(() =>
        socket.push({ id: command.id, type: "history", channel: command.channel, position: "1-1", messages, complete: true }),
      );
    };
    const Session = () => {
      const { status, metrics, isLoading } = useRealTimeSessionStatus("42");
      return isLoading ? "…" : `${status} ${metrics?.currentPnL}`;
    };
    await show(<Session />);
    expect(page.textContent).toBe("paused 1.00");
    await say(message("session:42", "1-1", status("active", "2.50")));
    expect(page.textContent).toBe("active 2.50");
  });

  test("notifications stay until read, critical ones until acknowledged", async () => {
    const answer = edge.answer;
    edge.answer = (socket, command) => {
      answer(socket, command);
      if (command.type !== "ack") return;
      const position = command.position ?? command.positions?.[0];
      setTimeout(() => socket.push({ id: command.id, type: "acked", channel: command.channel, position }));
    };
    let inbox: ReturnType<typeof useRealTimeNotifications> | undefined;
    const Inbox = () => {
      inbox = useRealTimeNotifications();
      return `${inbox.unreadCount}: ${inbox.notifications.map(({ id }) => id).join()}`;
    };
    await show(<Inbox />);
    const alert = (id: string) => ({ type: "risk_alert", alertId: id });
    await say(
      message("user:7", "1-1", alert("a"), { priority: "critical" }),
      message("user:7", "1-2", alert("b")),
      message("user:7", "1-3", alert("c")),
    );
    expect(page.textContent).toBe("3: c,b,a");
    await act(async () => {
      void inbox?.markAsRead("b");
      await pass(300);
    });
    expect(edge.socket.of("ack")).toMatchObject([{ channel: "user:7", position: "1-2" }]);
    expect(page.textContent).toBe("2: c,b,a");
    await act(async () => {
      void inbox?.clearAll();
      await pass(300);
    });
    expect(page.textContent, "the critical one stays").toBe("1: a");
    await act(async () => {
      void inbox?.acknowledge("a");
      await pass(300);
    });
    expect(edge.socket.of("ack").at(-1)).toMatchObject({ positions: ["1-1"] });
    expect(page.textContent).toBe("0: a");
  });

  test("a book shows levels only while it can be believed", async () => {
    const Book = () => {
      const { bids, asks, state } = useOrderBook("binance:BTC/USDT", { depth: 2 });
      return `${state} ${bids.map(String).join(" ")} | ${asks.map(String).join(" ")}`;
    };
    await show(<Book />);
    expect(edge.socket.of("subscribe")[0]?.channels).toMatchObject([
      { channel: "book:binance:BTC/USDT", params: { depth: 5 } },
    ]);
    const book = (data: object) =>
      message("book:binance:BTC/USDT", undefined, { type: "book", kind: "delta", state: "live", ...data });
    await say(book({ bids: [["9", "1"]] }));
    expect(page.textContent, "a delta before the snapshot").toBe("loading  | ");
    await say(
      book({
        kind: "snapshot",
        bids: [
          ["9.50", "1"],
          ["10", "2"],
          ["8", "1"],
        ],
        asks: [["11", "1"]],
      }),
      book({ bids: [["9.5", "0"]] }),
    );
    expect(page.textContent).toBe("live 10,2 8,1 | 11,1");
    await say(book({ kind: "state", state: "suspect", reason: "gap" }));
    expect(page.textContent).toBe("suspect  | ");
    await say(book({ kind: "snapshot", bids: [["1", "1"]] }));
    expect(page.textContent).toBe("live 1,1 | ");
    await act(async () => {
      edge.socket.end(1006);
      await pass(300);
    });
    expect(page.textContent).toBe("offline  | ");
  });

  test("a whole book begins with what is stored, is not shown while nothing comes, and goes on where it stood", async () => {
    const channel = "book:okx:BTC/USDT";
    const level = (kind: string, price: string) => ({ type: "book", kind, state: "live", bids: [[price, "1"]] });
    const stored = [message(channel, "5-1", level("snapshot", "9")), message(channel, "5-2", level("delta", "8"))];
    const missed = [message(channel, "5-3", level("delta", "7"))];
    edge.serve((_, since) =>
      since === "0-0"
        ? { position: "5-2", recovered: false, messages: stored }
        : { position: "5-3", recovered: true, messages: missed },
    );
    const Book = () => {
      const { bids, state } = useOrderBook("okx:BTC/USDT", { depth: 1_000 });
      return `${state} ${bids.map(([price]) => price)}`;
    };
    await show(<Book />);
    expect(page.textContent).toBe("live 9,8");
    await act(async () => {
      edge.socket.end(1006);
      await pass(300);
    });
    expect(page.textContent).toBe("offline ");
    await act(() => pass(3_000));
    expect(page.textContent).toBe("live 9,8,7");
  });

  test("presence is a list that joins and leaves change", async () => {
    const answer = edge.answer;
    edge.answer = (socket, command) => {
      answer(socket, command);
      if (command.type === "presence") {
        setTimeout(() =>
          socket.push({ id: command.id, type: "presence", channel: command.channel, users: ["7", "8"], count: 5 }),
        );
      }
    };
    const Who = () => {
      const { users, count } = usePresence("room:1");
      return `${count}: ${users.join()}`;
    };
    await show(<Who />);
    expect(page.textContent).toBe("5: 7,8");
    await say(
      { type: "presence", channel: "room:1", event: "join", userId: "9" },
      { type: "presence", channel: "room:1", event: "leave", userId: "7" },
    );
    expect(page.textContent).toBe("5: 8,9");
  });

  test("preferences are read, and replaced by what the edge made of them", async () => {
    const answer = edge.answer;
    edge.answer = (socket, command) => {
      answer(socket, command);
      if (command.type === "preferences") {
        setTimeout(() => socket.push({ id: command.id, type: "preferences", preferences: { sound: true, ...command.set } }));
      }
    };
    let change: ReturnType<typeof useNotificationPreferences>["update"] | undefined;
    const Form = () => {
      const { preferences, update } = useNotificationPreferences();
      change = update;
      return String(preferences.sound);
    };
    await show(<Form />);
    expect(page.textContent).toBe("true");
    await act(async () => {
      void change?.({ sound: false });
      await pass(300);
    });
    expect(page.textContent).toBe("false");
  });
});

test("on a server everything is disconnected, pending and silent", () => {
  const Page = () => `${useWebSocketConnection().status} ${useChannel("room:1").status} ${useLatest("prices:X")?.time}`;
  const html = renderToString(
    <TickwireProvider client={client}>
      <Page />
    </TickwireProvider>,
  );
  expect(html).toBe("disconnected pending undefined");
  expect(edge.sockets).toHaveLength(0);
});
