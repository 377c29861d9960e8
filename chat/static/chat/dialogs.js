/** The two questions the page asks: what to call a conversation, and whether to delete it. */

import { setText, testId } from "./dom.js";

/** Resolves to the button's value: "" when dismissed. */
function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

/** The new title, or null. */
export async function askTitle(title) {
  const dialog = testId("rename-dialog");
  const input = testId("rename-input", dialog);
  input.value = title;
  const answer = ask(dialog);
  input.select();
  const isConfirmed = (await answer) === "confirm";
  const given = input.value.trim();
  return isConfirmed && given && given !== title ? given : null;
}

export async function confirmDelete(title) {
  const dialog = testId("delete-dialog");
  setText(testId("delete-title", dialog), title);
  return (await ask(dialog)) === "confirm";
}
