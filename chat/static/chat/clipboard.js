/** The copy buttons of messages and code, all served by one listener. */

import { setText } from "./dom.js";

const CONFIRMED_MS = 1_600;

/** `textOfMessage(messageId)` gives what a message's own button copies. */
export function serve(root, { textOfMessage, announce }) {
  root.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text =
      button.dataset.copy === "code"
        ? button.closest(".code-block").querySelector("pre").textContent
        : textOfMessage(button.closest("[data-message-id]").dataset.messageId);
    const wasCopied = await copy(text);
    announce(wasCopied ? "Copied." : "Copying is not allowed here.");
    if (wasCopied) confirm(button);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyThroughSelection(text);
  }
}

// Without HTTPS there is no clipboard interface; a selected field can still be copied.
function copyThroughSelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "off-screen";
  document.body.append(field);
  field.select();
  const wasCopied = document.execCommand("copy");
  field.remove();
  return wasCopied;
}

function confirm(button) {
  const label = button.querySelector(".copy-label");
  const use = button.querySelector("use");
  if (label) setText(label, "Copied");
  use.setAttribute("href", "#icon-check");
  setTimeout(() => {
    if (label) setText(label, "Copy");
    use.setAttribute("href", "#icon-copy");
  }, CONFIRMED_MS);
}
