import { type FormEvent, useEffect, useId, useState } from "react";
import { type SignedOut, signIn } from "../lib/account";
import { type Person, people } from "../lib/services";
import { Logo } from "./logo";

const WHY: Record<NonNullable<SignedOut["why"]>, string> = {
  expired: "Your token has expired. Sign in with a new one: nothing that was sent to you meanwhile is lost.",
  refused: "The server no longer accepts your token.",
  signed_out: "You are signed out.",
};

/** Sign-in with a token; in development with one click. */
export function Login({ why }: { why: SignedOut["why"] }) {
  const [known, setKnown] = useState<readonly Person[]>([]);
  const [token, setToken] = useState("");
  const [fault, setFault] = useState<string>();
  const field = useId();
  useEffect(() => {
    document.title = "Sign in · Tickwire";
    let isOver = false;
    people().then((listed) => !isOver && setKnown(listed));
    return () => {
      isOver = true;
    };
  }, []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setFault(signIn(token));
  };
  return (
    <main className="login">
      <div className="login-card">
        <Logo />
        <h1>Sign in</h1>
        {why && (
          <p className="login-why" role="status">
            {WHY[why]}
          </p>
        )}
        {known.length > 0 && (
          <div className="login-people">
            <p className="muted">This is a development server on your machine.</p>
            {known.map((person, index) => (
              <button
                key={person.user}
                type="button"
                className={`button button-wide ${index === 0 ? "button-primary" : ""}`}
                onClick={() => setFault(signIn(person.token))}
              >
                Continue as {person.user}
                {person.roles.includes("operator") && <span> · operator</span>}
              </button>
            ))}
          </div>
        )}
        <form onSubmit={submit}>
          <label htmlFor={field}>Access token</label>
          <textarea
            id={field}
            rows={4}
            value={token}
            maxLength={16_384}
            spellCheck={false}
            autoComplete="off"
            placeholder="eyJ…"
            aria-invalid={fault !== undefined}
            aria-describedby={fault ? `${field}-fault` : undefined}
            onChange={(event) => setToken(event.target.value)}
          />
          {fault && (
            <p id={`${field}-fault`} className="fault" role="alert">
              {fault}
            </p>
          )}
          <button type="submit" className="button button-wide" disabled={token.trim() === ""}>
            Sign in with token
          </button>
        </form>
        <p className="muted small">The token stays in this tab and is sent to this server only.</p>
      </div>
    </main>
  );
}
