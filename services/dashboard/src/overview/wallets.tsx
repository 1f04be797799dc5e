import { useChannel } from "@tickwire/client/react";
import { decimal } from "../lib/format";
import { Age, Badge, Empty, Panel } from "../parts/parts";
import { DataTable } from "../parts/table";

/** What a wallet is worth: absolute figures, by wallet. */
interface Portfolio {
  walletId: string;
  quote: string;
  total: string;
  /** Every asset has a price. */
  isComplete: boolean;
  balances: readonly { asset: string; balance: string; price?: string; value?: string }[];
  timestamp: number;
}

/** The user's wallets at current prices; nothing where none is known. */
export function Wallets({ user }: { user: string }) {
  const { latest } = useChannel<string, Portfolio>(user ? `portfolio:${user}` : null, { limit: 0 });
  if (latest.size === 0) return null;
  return (
    <div className="columns">
      {[...latest.values()].map(({ data }) => (
        <Wallet key={data.walletId} of={data} />
      ))}
    </div>
  );
}

function Wallet({ of: { walletId, quote, total, isComplete, balances, timestamp } }: { of: Portfolio }) {
  return (
    <Panel
      title={`Wallet ${walletId}`}
      flush
      aside={
        <>
          {!isComplete && <Badge tone="warn">not all is priced</Badge>}
          <strong className="num">
            {decimal(total, 2)} {quote}
          </strong>
          <Age at={timestamp} limit={60_000} />
        </>
      }
    >
      <DataTable
        label={`Assets of wallet ${walletId}`}
        rows={balances}
        keyOf={({ asset }) => asset}
        height="short"
        empty={<Empty title="This wallet is empty" />}
        columns={[
          { id: "asset", title: "Asset", sortBy: ({ asset }) => asset, cell: ({ asset }) => <strong>{asset}</strong> },
          { id: "balance", title: "Balance", numeric: true, cell: ({ balance }) => decimal(balance) },
          { id: "price", title: "Price", numeric: true, wideOnly: true, cell: ({ price }) => decimal(price) },
          { id: "value", title: "Value", numeric: true, cell: ({ value }) => decimal(value, 2) },
        ]}
      />
    </Panel>
  );
}
