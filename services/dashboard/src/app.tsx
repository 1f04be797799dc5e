import { TickwireProvider } from "@tickwire/client/react";
import { Component, lazy, type ReactNode } from "react";
import { BrowserRouter, Link, Route, Routes } from "react-router";
import { account, isSignedIn } from "./lib/account";
import { useSignal } from "./lib/signals";
import Notifications from "./notifications/notifications";
import { Empty, Panel } from "./parts/parts";
import { Login } from "./shell/login";
import { Shell } from "./shell/shell";

const Overview = lazy(() => import("./overview/overview"));
const Markets = lazy(() => import("./markets/markets"));
const Session = lazy(() => import("./session/session"));
const Agents = lazy(() => import("./agents/agents"));
const Tap = lazy(() => import("./tap/tap"));
const Operations = lazy(() => import("./operations/operations"));

/** Sign-in, or the screens of whoever is signed in. */
export function App() {
  const who = useSignal(account);
  if (!isSignedIn(who)) return <Login why={who.why} />;
  return (
    <TickwireProvider client={who.client} key={who.user}>
      <BrowserRouter>
        <Routes>
          <Route element={<Shell who={who} />}>
            <Route index element={screen(<Overview />)} />
            <Route path="markets" element={screen(<Markets />)} />
            <Route path="notifications" element={screen(<Notifications />)} />
            <Route path="sessions/:id" element={screen(<Session />)} />
            <Route path="agents" element={screen(<Agents />)} />
            <Route path="tap" element={screen(<Tap />)} />
            <Route path="operations" element={screen(<Operations />)} />
            <Route path="*" element={<Lost />} />
          </Route>
        </Routes>
      </BrowserRouter>
    </TickwireProvider>
  );
}

const screen = (it: ReactNode) => <Guard>{it}</Guard>;

function Lost() {
  return (
    <>
      <h1 className="sr-only">Nothing here</h1>
      <Panel title="Nothing here">
        <Empty title="There is no such screen">
          <Link to="/">Back to the overview</Link>
        </Empty>
      </Panel>
    </>
  );
}

/** A screen that fails leaves the rest standing. */
class Guard extends Component<{ children: ReactNode }, { error: Error | undefined }> {
  override state: { error: Error | undefined } = { error: undefined };

  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <Panel title="This screen failed">
        <Empty title={error.message}>
          <button type="button" className="button" onClick={() => this.setState({ error: undefined })}>
            Try again
          </button>
        </Empty>
      </Panel>
    );
  }
}
