/** What a token says of its holder. Read for the screen only: the server decides. */
export interface Claims {
  user: string;
  roles: readonly string[];
  /** Patterns of channels that it grants, such as `session:*`. */
  grants: readonly string[];
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
    const texts = (list: unknown) => (Array.isArray(list) ? list.filter((it) => typeof it === "string") : []);
    const [roles, grants] = [texts(claims.roles), texts(claims.channels)];
    return { user: claims.sub, roles, grants, expiresAt: typeof claims.exp === "number" ? claims.exp * 1000 : undefined };
  } catch {
    return undefined;
  }
}

/** Whether one of a token's patterns names a channel: asking for too many others counts as an attack. */
export function isGranted(grants: readonly string[], channel: string): boolean {
  const rule = (pattern: string) =>
    pattern
      .replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
      .replace(/\\\*$/, ".*")
      .replaceAll("\\*", "[^:]+");
  return grants.some((it) => new RegExp(`^${rule(it)}$`).test(channel));
}
