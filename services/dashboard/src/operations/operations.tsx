import { useNavigate } from "react-router";
import { account, isSignedIn } from "../lib/account";
import { useSignal } from "../lib/signals";
import { Empty, Panel } from "../parts/parts";
import { Access } from "./access";
import { Alerts } from "./alerts";
import { Audit } from "./audit";
import { Channels, Nodes, Traffic } from "./cluster";
import { DeadLetters } from "./dead-letters";
import { Feeds } from "./feeds";

/** The cluster's machinery, for the role `operator`. */
export default function Operations() {
  const who = useSignal(account);
  const navigate = useNavigate();
  if (!isSignedIn(who) || !who.roles.includes("operator")) {
    return (
      <>
        <h1 className="sr-only">Operations</h1>
        <Panel title="For operators">
          <Empty title="Not for this token">Your token does not carry the role `operator`.</Empty>
        </Panel>
      </>
    );
  }
  return (
    <div className="operations">
      <h1 className="sr-only">Operations</h1>
      <Traffic />
      <div className="columns columns-wide">
        <Nodes />
        <Channels onTap={(channel) => navigate(`/tap?channel=${encodeURIComponent(channel)}`)} />
        <Feeds />
        <Alerts />
        <Access />
        <Audit />
        <DeadLetters />
      </div>
    </div>
  );
}
