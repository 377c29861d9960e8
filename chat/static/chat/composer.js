/** Where the user writes: keeps drafts, grows with the text, is Send or Stop. */

import * as storage from "./storage.js";

const MAX_BYTES = 32 * 1024;
const TALLEST_PX = 260;

export class Composer {
  #session = "new";
  #state = { isRunning: false, isStopping: false, isBlocked: false };
  #endWait = () => {};

  /** Handlers: onSend(text), onStop(), onProblem(sentence), which gives what takes it back. */
  constructor({ form, input, send, stop }, handlers) {
    Object.assign(this, { form, input, send, stop, handlers });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    input.addEventListener("input", () => this.#noticeInput());
    input.addEventListener("keydown", (event) => this.#noticeKey(event));
    stop.addEventListener("click", () => handlers.onStop());
    new ResizeObserver(() => this.#grow()).observe(form);
  }

  get text() {
    return this.input.value;
  }

  /** Show the draft of a session; "new" is the one that is not created yet. */
  open(session) {
    this.#session = session;
    this.write(storage.read(`draft.${session}`) ?? "");
  }

  write(text) {
    this.input.value = text;
    this.#noticeInput();
  }

  /** Put back what could not be sent, without losing what was written since. */
  giveBack(text) {
    if (!this.text.includes(text)) this.write([text, this.text].filter(Boolean).join("\n"));
  }

  focus() {
    this.input.focus();
  }

  setState(state) {
    this.#state = { ...this.#state, ...state };
    const { isRunning, isStopping } = this.#state;
    const hadFocus = document.activeElement === this.send || document.activeElement === this.stop;
    this.send.hidden = isRunning;
    this.stop.hidden = !isRunning;
    this.stop.classList.toggle("is-stopping", isStopping);
    this.stop.disabled = isStopping;
    const label = isStopping ? "Stopping…" : "Stop";
    this.stop.querySelector(".stop-label").textContent = label;
    if (hadFocus && document.activeElement !== this.input) this.focus();
    if (!isRunning) this.#endWait();
    this.#paintSend();
  }

  submit() {
    const text = clean(this.text);
    if (!text.trim() || this.#state.isBlocked) return;
    if (this.#state.isRunning) {
      this.#endWait();
      const sentence = "Wait for the answer to finish, or press Esc to stop it.";
      this.#endWait = this.handlers.onProblem(sentence);
    } else if (new TextEncoder().encode(text).length > MAX_BYTES) {
      this.handlers.onProblem("The message is longer than 32 KiB: please shorten it.");
    } else {
      this.write("");
      this.handlers.onSend(text);
    }
  }

  #noticeInput() {
    storage.write(`draft.${this.#session}`, this.text);
    this.#grow();
    this.#paintSend();
  }

  #noticeKey(event) {
    // While an input method composes, Enter accepts its suggestion.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.submit();
  }

  #paintSend() {
    this.send.disabled = !this.text.trim() || this.#state.isBlocked;
  }

  #grow() {
    const { style } = this.input;
    style.height = "auto";
    style.height = `${Math.min(this.input.scrollHeight, TALLEST_PX)}px`;
  }
}

/** What the server would clean away must go first: a message is recognised by its text. */
function clean(text) {
  const whole = text.replaceAll("\0", "").trimEnd();
  return whole.toWellFormed?.() ?? whole;
}
