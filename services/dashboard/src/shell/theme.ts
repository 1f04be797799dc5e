import { signal, storage } from "../lib/signals";

export type Theme = "dark" | "light";

/** Set by `/theme.js` before the first paint. */
export const theme = signal<Theme>(document.documentElement.dataset.theme === "light" ? "light" : "dark");

/** The other one, kept for next time. */
export function toggleTheme(): void {
  const next: Theme = theme.get() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  storage.write("theme", next);
  theme.set(next);
}

/** A token's colour, for canvases. */
export const colour = (token: string) => getComputedStyle(document.documentElement).getPropertyValue(token).trim();
