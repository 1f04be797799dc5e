// Checked by `npm run typecheck`; run, the assertions are empty.
import type {
  AlgorithmDecisionData,
  BookUpdate,
  ErrorCode,
  MarketDataData,
  Message,
  Preferences,
  PublishedFrame,
  ServerFrame,
  SessionStatus,
  Subscription,
  Tickwire,
  TickwireError,
  TickwireOptions,
} from "@tickwire/client";
import type { ChannelState, SessionState, useChannel, useLatest } from "@tickwire/client/react";
import { expectTypeOf, test } from "vitest";

declare const client: Tickwire;

test("a channel's name says what it carries", () => {
  type Of<C extends string> = ReturnType<typeof client.subscribe<C>>;
  expectTypeOf<Of<`prices:${string}`>>().toEqualTypeOf<Subscription<MarketDataData>>();
  expectTypeOf<Of<"book:binance:BTC/USDT">>().toEqualTypeOf<Subscription<BookUpdate>>();
  expectTypeOf<Of<"somewhere">>().toEqualTypeOf<Subscription<unknown>>();
  expectTypeOf<Of<string>>().toEqualTypeOf<Subscription<unknown>>();
  type Session = Of<"session:42"> extends Subscription<infer T> ? T : never;
  expectTypeOf<Extract<Session, { type: "algorithm_decision" }>>().toEqualTypeOf<AlgorithmDecisionData>();
  expectTypeOf<Extract<Session, { type: "session_status" }>["status"]>().toEqualTypeOf<SessionStatus>();
});

test("prices are text and never numbers", () => {
  expectTypeOf<MarketDataData["price"]>().toEqualTypeOf<string>();
  expectTypeOf<MarketDataData["bid"]>().toEqualTypeOf<string | undefined>();
});

test("answers and errors are closed", () => {
  expectTypeOf<ReturnType<Tickwire["publish"]>>().resolves.toEqualTypeOf<PublishedFrame>();
  expectTypeOf<Extract<ErrorCode, "forbidden">>().toEqualTypeOf<"forbidden">();
  expectTypeOf<TickwireError["code"]>().extract<ErrorCode>().toEqualTypeOf<ErrorCode>();
  expectTypeOf<Extract<ServerFrame, { type: "reset" }>["reason"]>().toEqualTypeOf<"history_lost" | "history_trimmed">();
  expectTypeOf<Preferences["minimumLevel"]>().toEqualTypeOf<"info" | "warning" | "critical" | "emergency" | undefined>();
});

test("hooks know the channel, too", () => {
  expectTypeOf<ReturnType<typeof useLatest<"prices:X">>>().toEqualTypeOf<Message<MarketDataData> | undefined>();
  expectTypeOf<ReturnType<typeof useChannel<"prices:X">>>().toEqualTypeOf<ChannelState<MarketDataData>>();
  expectTypeOf<SessionState["status"]>().toEqualTypeOf<SessionStatus | undefined>();
});

test("what is wrong does not compile", () => {
  const wrong = () => {
    // @ts-expect-error an option that is none
    const options: TickwireOptions = { url: "/ws", retries: 3 };
    // @ts-expect-error an event that is none
    client.on("open", () => {});
    // @ts-expect-error a filter is text
    client.subscribe("room:1", { filter: 1 });
    return options;
  };
  expectTypeOf(wrong).toBeFunction();
});
