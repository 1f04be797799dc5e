// Before the first paint, so that nobody's eyes are hit by the other theme.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("tickwire.theme");
  } catch {
    // Storage is switched off: the system decides.
  }
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  document.documentElement.dataset.theme = chosen === "light" || chosen === "dark" ? chosen : system;
})();
