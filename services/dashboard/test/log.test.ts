import type { Subscription } from "@tickwire/client";
import { expect, test, vi } from "vitest";
import { logStore, served } from "../src/lib/log";

/** A client whose subscriptions do what the test says. */
function fake() {
  const statuses = new Map<string, (status: string) => void>();
  const client = {
    subscribe: (channel: string) =>
      ({
        on: (name: string, listener: (status: string) => void) => {
          if (name === "status") statuses.set(channel, listener);
          return () => {};
        },
        unsubscribe: () => {},
      }) as unknown as Subscription<unknown>,
  };
  return {
    client: client as unknown as Parameters<typeof logStore>[0],
    say: (of: string, is: string) => statuses.get(of)?.(is),
  };
}

test("channels that are behind after a reconnect are counted, those that were refused or left are not", () => {
  vi.stubGlobal("document", { visibilityState: "hidden" });
  vi.useFakeTimers();
  const { client, say } = fake();
  const ends = ["a", "b", "c"].map((name) => logStore(client, name, undefined).start());
  expect(served.get()).toEqual({ live: 0, all: 3 });
  for (const name of ["a", "b", "c", "c"]) say(name, "live");
  expect(served.get()).toEqual({ live: 3, all: 3 });
  for (const name of ["a", "b", "c"]) say(name, "pending");
  say("a", "live");
  say("b", "ended");
  expect(served.get()).toEqual({ live: 1, all: 2 });
  for (const end of ends) end();
  expect(served.get()).toEqual({ live: 0, all: 0 });
  vi.useRealTimers();
  vi.unstubAllGlobals();
});
