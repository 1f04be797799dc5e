import { useNavigate } from "react-router";
import { account, isSignedIn } from "../lib/account";
import { useSignal } from "../lib/signals";
import { Empty, Panel } from "../parts/parts";
import { Access } from "./access";
import { Alerts } from "./alerts";
import { Audit } from "./audit";
import { Channels, Nodes } from "./cluster";
import { DeadLetters } from "./dead-letters";
import { Feeds } from "./feeds";
import { Stages } from "./stages";
import { Traffic } from "./traffic";
import { Trends } from "./trends";
import { useFleet } from "./use-fleet";

/** The cluster's machinery, for the role `operator`. */
export default function Operations() {
  const who = useSignal(account);
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
  return <Machinery />;
}

function Machinery() {
  const navigate = useNavigate();
  const fleet = useFleet();
  return (
    <div className="operations">
      <h1 className="sr-only">Operations</h1>
      <Traffic of={fleet} />
      <Stages of={fleet} />
      <Trends of={fleet.trend} />
      <div className="columns columns-wide">
        <Nodes of={fleet} />
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
