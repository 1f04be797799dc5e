import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { resume } from "./lib/account";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/markets.css";
import "./styles/screens.css";
import "./styles/forms.css";
import "./styles/operations.css";

resume();
const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
