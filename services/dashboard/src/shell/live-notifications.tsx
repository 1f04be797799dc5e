import { type Notification, useRealTimeNotifications } from "@tickwire/client/react";
import { Toast } from "radix-ui";
import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { levelOf, textOf, titleOf } from "../notifications/text";
import { Age, Badge } from "../parts/parts";

/** How long an ordinary toast stays, milliseconds. */
const SHOWN_MS = 6_000;
/** Critical ones that are open at once; the rest is counted. */
const CRITICAL_MAX = 3;
const ORDINARY_MAX = 3;

/** New notifications as toasts. Critical ones stay until they are acknowledged, here or on another device. */
export function LiveNotifications() {
  const { notifications, acknowledge } = useRealTimeNotifications();
  const opened = useRef(Date.now());
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const critical = notifications.filter((it) => it.needsAcknowledgement);
  const isShown = ({ data, time, needsAcknowledgement, id, isRead }: Notification) =>
    !needsAcknowledgement && !isRead && time >= opened.current && !closed.has(id) && data.presentation?.toast !== false;
  const ordinary = notifications.filter(isShown).slice(0, ORDINARY_MAX);
  const close = (id: string) => setClosed((last) => new Set([...[...last].slice(-500), id]));
  return (
    <>
      <Announcer critical={critical} />
      <Toast.Provider label="Notification" swipeDirection="right">
        {critical.slice(0, CRITICAL_MAX).map((it) => (
          <CriticalToast key={it.id} of={it} acknowledge={acknowledge} />
        ))}
        {ordinary.map((it) => (
          <Toast.Root
            key={it.id}
            type="background"
            className="toast"
            duration={SHOWN_MS}
            onOpenChange={(isOpen) => !isOpen && close(it.id)}
          >
            <Toast.Title className="toast-title">{titleOf(it)}</Toast.Title>
            <Toast.Description className="toast-text">{textOf(it)}</Toast.Description>
            <Toast.Close className="icon-button toast-close" aria-label="Close">
              ×
            </Toast.Close>
          </Toast.Root>
        ))}
        {critical.length > CRITICAL_MAX && (
          <Link className="toast toast-more" to="/notifications?show=owed">
            {critical.length - CRITICAL_MAX} more to acknowledge
          </Link>
        )}
        <Toast.Viewport className="toasts" label="Notifications ({hotkey})" />
      </Toast.Provider>
    </>
  );
}

function CriticalToast({ of, acknowledge }: { of: Notification; acknowledge: (id: string) => Promise<void> }) {
  const [isBusy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const settle = () => {
    setBusy(true);
    setFault(undefined);
    acknowledge(of.id).catch((error: unknown) => {
      setFault(`Not acknowledged: ${error instanceof Error ? error.message : String(error)}`);
      setBusy(false);
    });
  };
  return (
    <Toast.Root
      open
      type="foreground"
      className="toast toast-critical"
      duration={Number.POSITIVE_INFINITY}
      // Neither Escape nor a swipe ends what must be acknowledged.
      onEscapeKeyDown={(event) => event.preventDefault()}
      onSwipeEnd={(event) => event.preventDefault()}
    >
      <Toast.Title className="toast-title">
        <Badge tone="bad">{levelOf(of)}</Badge> {titleOf(of)}
      </Toast.Title>
      <Toast.Description className="toast-text">{textOf(of)}</Toast.Description>
      {fault && <p className="fault">{fault}</p>}
      <div className="toast-actions">
        <Age at={of.time} limit={Number.POSITIVE_INFINITY} />
        <button type="button" className="button button-danger button-small" disabled={isBusy} onClick={settle}>
          {isBusy ? "Acknowledging…" : "Acknowledge"}
        </button>
      </div>
    </Toast.Root>
  );
}

/** The one assertive region: what is critical is said as soon as it comes; nothing that ticks is said anywhere. */
function Announcer({ critical }: { critical: readonly Notification[] }) {
  const newest = critical[0];
  return (
    <div className="sr-only" role="alert" aria-live="assertive">
      {newest && `${levelOf(newest)}: ${titleOf(newest)}. ${textOf(newest)}`}
    </div>
  );
}

/** How many are unread, in the page's title too, beside the screen's name. */
export function useUnreadTitle(screen: string): number {
  const { unreadCount } = useRealTimeNotifications();
  useEffect(() => {
    document.title = `${unreadCount > 0 ? `(${unreadCount}) ` : ""}${screen} · Tickwire`;
  }, [unreadCount, screen]);
  return unreadCount;
}
