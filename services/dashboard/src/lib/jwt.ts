/** What a token says of its holder. Read for the screen only: the server decides. */
export interface Claims {
  user: string;
  roles: readonly string[];
  /** Milliseconds since the epoch. */
  expiresAt: number | undefined;
}

/** The claims of a JWT, or `undefined` where the text is none. */
export function claimsOf(token: string): Claims | undefined {
  const body = token.split(".")[1];
  if (!body) return undefined;
  try {
    const bytes = Uint8Array.from(atob(body.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    if (typeof claims.sub !== "string" || claims.sub === "") return undefined;
    const roles = Array.isArray(claims.roles) ? claims.roles.filter((role) => typeof role === "string") : [];
    return { user: claims.sub, roles, expiresAt: typeof claims.exp === "number" ? claims.exp * 1000 : undefined };
  } catch {
    return undefined;
  }
}
