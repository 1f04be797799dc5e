import { useWebSocketConnection } from "@tickwire/client/react";
import { type ReactNode, Suspense, useEffect, useState } from "react";
import { NavLink, Outlet, useLocation } from "react-router";
import { type Account, signOut } from "../lib/account";
import { useNow } from "../lib/clock";
import { span } from "../lib/format";
import { useSignal } from "../lib/signals";
import { Empty } from "../parts/parts";
import { ConnectionBanner, ConnectionStatus } from "./connection-status";
import { Icon, type IconName } from "./icons";
import { LiveNotifications, useUnreadTitle } from "./live-notifications";
import { Logo } from "./logo";
import { SystemNotices } from "./notices";
import { theme, toggleTheme } from "./theme";

/** A token that ends this soon is worth a word, milliseconds. */
const ENDS_SOON_MS = 5 * 60_000;

interface Screen {
  to: string;
  label: string;
  /** Where there is little room. */
  short?: string;
  icon: IconName;
  operator?: boolean;
}

const SCREENS: readonly Screen[] = [
  { to: "/", label: "Overview", icon: "overview" },
  { to: "/markets", label: "Markets", icon: "markets" },
  { to: "/notifications", label: "Notifications", short: "Inbox", icon: "bell" },
  { to: "/agents", label: "Agents", icon: "agents" },
  { to: "/tap", label: "Live tap", short: "Tap", icon: "tap" },
  { to: "/operations", label: "Operations", short: "Ops", icon: "operations", operator: true },
];

/** The screen at a path, for the page's title. */
const nameOf = (pathname: string) =>
  pathname.startsWith("/sessions/") ? "Session" : (SCREENS.find(({ to }) => to === pathname)?.label ?? "Nothing here");

/** What stands around every screen. */
export function Shell({ who }: { who: Account }) {
  const { pathname } = useLocation();
  const { isConnected } = useWebSocketConnection();
  const unread = useUnreadTitle(nameOf(pathname));
  const screens = SCREENS.filter(({ operator }) => !operator || who.roles.includes("operator"));
  // A new screen begins at its top, and its heading is where reading goes on.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the path is what changes.
  useEffect(() => {
    // Newer browsers answer with a promise, which is no way to undo an effect.
    void window.scrollTo(0, 0);
  }, [pathname]);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <nav className="nav" aria-label="Screens">
        <Logo />
        <ul>
          {screens.map(({ to, label, short, icon }) => (
            <li key={to}>
              <NavLink
                to={to}
                end={to === "/"}
                aria-label={to === "/notifications" && unread > 0 ? `${label}, ${unread} unread` : label}
              >
                <Icon name={icon} />
                <span className="nav-label nav-long">{label}</span>
                <span className="nav-label nav-short">{short ?? label}</span>
                {to === "/notifications" && unread > 0 && <span className="nav-count num">{unread > 99 ? "99+" : unread}</span>}
              </NavLink>
            </li>
          ))}
        </ul>
        <p className="nav-foot muted small">
          Charts:{" "}
          <a href="https://www.tradingview.com/" target="_blank" rel="noreferrer">
            TradingView Lightweight Charts™
          </a>
        </p>
      </nav>
      <div className="stage">
        <header className="topbar">
          <span className="topbar-logo">
            <Logo />
          </span>
          <ConnectionStatus />
          <span className="topbar-space" />
          <ThemeButton />
          <span className="topbar-user">
            <Icon name="user" /> {who.user}
          </span>
          <button type="button" className="button button-small" onClick={() => signOut()}>
            Sign out
          </button>
        </header>
        <div className="banners">
          <ConnectionBanner />
          <EndsSoon at={who.expiresAt} />
          <SystemNotices />
        </div>
        <main id="main" className={`main ${isConnected ? "" : "main-old"}`} tabIndex={-1}>
          <Suspense fallback={<Empty title="Loading…" />}>
            <Outlet />
          </Suspense>
        </main>
      </div>
      <LiveNotifications />
    </div>
  );
}

function ThemeButton() {
  const now = useSignal(theme);
  return (
    <button
      type="button"
      className="icon-button"
      onClick={toggleTheme}
      aria-label={now === "dark" ? "Switch to light" : "Switch to dark"}
    >
      <Icon name={now === "dark" ? "sun" : "moon"} />
    </button>
  );
}

function EndsSoon({ at }: { at: number | undefined }): ReactNode {
  const now = useNow();
  const [isHidden, setHidden] = useState(false);
  if (at === undefined || isHidden || at - now > ENDS_SOON_MS || at <= now) return null;
  return (
    <div className="banner banner-warn" role="status">
      <span>
        <strong>Your token ends</strong> in {at - now < 60_000 ? "less than a minute" : span(at - now)}: sign in with a new one
        before, or you will be asked to.
      </span>
      <button type="button" className="icon-button" aria-label="Hide this notice" onClick={() => setHidden(true)}>
        ×
      </button>
    </div>
  );
}
