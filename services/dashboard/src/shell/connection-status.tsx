import type { DisconnectReason } from "@tickwire/client";
import { useWebSocketConnection } from "@tickwire/client/react";
import { useEffect, useState } from "react";
import { span } from "../lib/format";
import { served } from "../lib/log";
import { useSignal } from "../lib/signals";
import { StatusDot, type Tone } from "../parts/parts";

/** Why there is no connection, for people. */
export const REASONS: Record<DisconnectReason, string> = {
  closed_here: "signed out here",
  closed_by_server: "closed by the server",
  unauthenticated: "the token is not accepted",
  blocked: "this user was disconnected by an operator",
  replaced: "another connection took this one's place",
  refused: "the server refused what was sent",
  attempts_exhausted: "every attempt failed",
  link_lost: "the connection was lost",
  page_left: "the page was left",
  draining: "the server is being restarted",
  rate_limited: "the server asked for fewer connections",
  too_slow: "this device read too slowly; nothing is lost",
  server_error: "something failed in the server",
};

/** Where the connection stands, in a word; the rest in its title and, while it is away, in the banner. */
export function ConnectionStatus() {
  const { status, reason, node, transport, connect } = useWebSocketConnection();
  const tone: Tone = status === "connected" ? "good" : status === "error" || status === "disconnected" ? "bad" : "busy";
  const word = {
    connected: "Live",
    connecting: "Connecting",
    reconnecting: "Reconnecting",
    disconnected: "Offline",
    error: "Offline",
  }[status];
  const more = status === "connected" ? `${transport ?? "connected"} to ${node ?? "an edge"}` : reason && REASONS[reason];
  return (
    <span className="connection" title={more}>
      <StatusDot tone={tone}>{word}</StatusDot>
      {(status === "disconnected" || status === "error") && (
        <button type="button" className="button button-small" onClick={connect}>
          Connect
        </button>
      )}
    </span>
  );
}

/** Told while there is no live connection: what is on screen is old from here on. */
export function ConnectionBanner() {
  const { status, reason, attempt, retryInMs } = useWebSocketConnection();
  const { live, all } = useSignal(served);
  const [isBehind, setBehind] = useState(false);
  useEffect(() => {
    if (status === "reconnecting") setBehind(true);
    else if (status === "connected" && live >= all) setBehind(false);
  }, [status, live, all]);
  if (status === "connected" && isBehind && live < all) {
    return (
      <div className="banner banner-warn" role="status">
        <span>
          <strong>Catching up:</strong> what was missed is being fetched.
        </span>
        <progress aria-label="Channels that are up to date" value={live} max={all} />
        <span className="num">
          {live} of {all} channels
        </span>
      </div>
    );
  }
  if (status === "connected" || (status === "connecting" && !attempt)) return null;
  const why = reason ? REASONS[reason] : "no connection";
  const next =
    status === "reconnecting"
      ? `Trying again${retryInMs && retryInMs > 1_000 ? ` in ${span(retryInMs)}` : ""}; missed messages will be fetched.`
      : "";
  return (
    <div className={`banner ${status === "error" || status === "disconnected" ? "banner-bad" : "banner-warn"}`}>
      <strong>{status === "reconnecting" || status === "connecting" ? "Reconnecting" : "Not connected"}:</strong> {why}. What
      you see may be old. {next}
    </div>
  );
}
