import { Tickwire } from "@tickwire/client";
import { type Claims, claimsOf } from "./jwt";
import { signal, storage } from "./signals";

/** Who is signed in, with the client that works for them. */
export interface Account extends Claims {
  token: string;
  client: Tickwire;
}

/** Why nobody is. */
export interface SignedOut {
  why?: "expired" | "refused" | "signed_out";
}

export const account = signal<Account | SignedOut>({});

/** Whether someone is signed in. */
export const isSignedIn = (it: Account | SignedOut): it is Account => "client" in it;

/** Names this browser, so that it has a read cursor of its own. */
function device(): string {
  const kept = storage.read("device");
  if (kept) return kept;
  const made = `web-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  storage.write("device", made);
  return made;
}

/** Signs in with a token; says what is wrong with it where it is none. */
export function signIn(text: string): string | undefined {
  const token = text.trim();
  const claims = claimsOf(token);
  if (!claims) return "This is not a token: a JWT has three parts divided by dots, and names its user.";
  if (claims.expiresAt !== undefined && claims.expiresAt <= Date.now()) return "This token has expired. Get a new one.";
  leave();
  storage.write("token", token, "session");
  const client = new Tickwire({ url: "/ws", token, device: device() });
  client.on("state", (state) => {
    if (state.status === "error" && state.reason === "unauthenticated") signOut("refused");
  });
  account.set({ ...claims, token, client });
  return undefined;
}

/** Gives the running connection a newer token of the same user. */
export function renew(text: string): string | undefined {
  const current = account.get();
  const claims = claimsOf(text.trim());
  if (!isSignedIn(current) || claims?.user !== current.user) return signIn(text);
  storage.write("token", text.trim(), "session");
  current.client.refreshToken(text.trim());
  account.set({ ...current, ...claims, token: text.trim() });
  return undefined;
}

/** Ends the connection and forgets the token. */
export function signOut(why: SignedOut["why"] = "signed_out"): void {
  const current = account.get();
  const isExpired = isSignedIn(current) && current.expiresAt !== undefined && current.expiresAt <= Date.now();
  leave();
  storage.write("token", null, "session");
  account.set({ why: why === "refused" && isExpired ? "expired" : why });
}

function leave(): void {
  const current = account.get();
  if (isSignedIn(current)) current.client.destroy();
}

/** At the start: the token in the address (taken out of it at once), or that of this tab. */
export function resume(): void {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given) history.replaceState(null, "", location.pathname + location.search);
  const token = given ?? storage.read("token", "session");
  if (token && signIn(token)) {
    storage.write("token", null, "session");
    account.set({ why: "expired" });
  }
}
