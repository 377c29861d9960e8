/** What one run looks like: the user's message, the answer, its cost, and how it ended. */

import { Bill } from "./bill.js";
import { isActive } from "./conversation.js";
import { el, icon, place, setText } from "./dom.js";
import { resultOf, textOf } from "./message.js";
import * as money from "./money.js";
import { isOverdue } from "./outbox.js";
import * as parts from "./parts.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const ENDINGS = {
  cancelled: ["Stopped", "stopped-mark"],
  length: ["Cut off at the length limit", "length-mark"],
  content_filter: ["Withheld by the provider's filter", "filter-mark"],
};
const FAILED = { budget_exceeded: "Stopped by a budget" };

function copyButton() {
  const label = "Copy message";
  const data = { copy: "message", testid: "copy-message" };
  const attributes = { type: "button", class: "quiet icon-only", title: label, data };
  return el("button", { ...attributes, "aria-label": label }, icon("copy"));
}

/** A user's message, also one that is only on its way. */
export class UserView {
  constructor() {
    this.bubble = el("div", { class: "bubble", data: { testid: "message-text" }, dir: "auto" });
    this.note = el("span", { class: "note", data: { testid: "pending-note" } });
    this.foot = el("div", { class: "message-foot" }, this.note);
    const data = { testid: "message", role: "user" };
    const heading = el("h3", { class: "off-screen", text: "You said" });
    this.element = el("article", { class: "message user", data }, heading, this.bubble, this.foot);
  }

  paint(message) {
    setText(this.bubble, textOf(message));
    this.element.dataset.messageId = message.messageId;
    this.element.dataset.state = "complete";
    this.bubble.title = message.createdAt ? CLOCK.format(new Date(message.createdAt)) : "";
    place(this.foot, [this.copy ?? (this.copy = copyButton())]);
  }

  paintPending(item, { isConnected, onDiscard }) {
    setText(this.bubble, item.text);
    this.element.dataset.state = "pending";
    const isLate = isOverdue(item);
    const sending = isLate ? "Not confirmed yet" : "Sending…";
    setText(this.note, isConnected ? sending : "Waiting for the connection…");
    const label = "Back to the editor";
    const attributes = { type: "button", class: "link", data: { testid: "discard-pending" } };
    this.discard ??= el("button", { ...attributes, text: label, onclick: onDiscard });
    const isInFlight = item.sentAt !== null && !isLate;
    place(this.foot, isInFlight ? [this.note] : [this.note, this.discard]);
  }
}

function retryButton(onRetry, className) {
  const attributes = { type: "button", class: className, data: { testid: "retry" } };
  return el("button", { ...attributes, onclick: onRetry }, icon("retry"), "Retry");
}

class AnswerView {
  #views = [];

  constructor(onRetry) {
    this.body = el("div", { class: "answer-body" });
    this.dots = el("div", { class: "dots", data: { testid: "waiting" } });
    this.dots.append(el("span"), el("span"), el("span"), el("em"));
    this.mark = el("span", { class: "mark" });
    this.bill = new Bill();
    this.budget = el("span", { class: "budget", data: { testid: "budget-warning" } });
    this.copy = copyButton();
    this.retry = retryButton(onRetry, "link again");
    this.foot = el("div", { class: "message-foot" });
    const data = { testid: "message", role: "assistant" };
    const heading = el("h3", { class: "off-screen", text: "The assistant said" });
    this.element = el("article", { class: "message assistant", data });
    this.element.append(heading, this.body, this.dots, this.foot, this.bill.table);
  }

  paint(run, { canRetry, wasRetried }) {
    const message = run.assistant;
    this.element.dataset.messageId = message?.messageId ?? "";
    this.element.dataset.state = message?.isComplete ? "complete" : "streaming";
    const isDone = message ? this.#paintParts(message, isActive(run)) : this.#clear();
    this.#paintDots(run);
    this.retry.disabled = !canRetry;
    this.#paintFoot(run, { isRetryable: run.status === "cancelled" && run.user && !wasRetried });
    return isDone;
  }

  #clear() {
    this.#views = [];
    this.body.replaceChildren();
    return true;
  }

  #paintParts(message, isRunActive) {
    let isDone = true;
    const shown = message.parts.flatMap((part, index) => {
      if (!part || isAnswered(message, part)) return [];
      const view = this.#viewAt(index, part);
      const context = toolContext(message, part, isRunActive);
      isDone = view.paint(part, context) && isDone;
      return [view.element];
    });
    place(this.body, shown);
    return isDone;
  }

  #viewAt(index, part) {
    const known = this.#views[index];
    if (known?.type === part.type) return known.view;
    const view = parts.viewOf(part);
    this.#views[index] = { type: part.type, view };
    return view;
  }

  #paintDots(run) {
    const last = run.assistant?.parts.at(-1);
    const isSilent = !last || (last.type === "tool_result" && !run.assistant.isComplete);
    this.dots.hidden = !(isActive(run) && isSilent);
    setText(this.dots.lastChild, run.status === "queued" ? "Queued" : "");
  }

  #paintFoot(run, { isRetryable }) {
    const [ending, name] = ENDINGS[run.stopReason] ?? [];
    setText(this.mark, ending ?? "");
    this.mark.dataset.testid = name ?? "";
    const hasCost = run.cost && run.cost.promptTokens + run.cost.completionTokens > 0;
    if (hasCost) this.bill.paint(run);
    const hasText = run.assistant?.isComplete && textOf(run.assistant);
    if (run.budget) setText(this.budget, money.budgetWords(run.budget));
    const elements = [
      ending && this.mark,
      isRetryable && this.retry,
      hasText && this.copy,
      hasCost && this.bill.button,
      run.budget && this.budget,
    ];
    place(this.foot, elements.filter(Boolean));
  }
}

/** A result is shown in the card of its call. */
function isAnswered(message, part) {
  if (part.type !== "tool_result") return false;
  return message.parts.some(
    (other) => other?.type === "tool_call" && other.toolCallId === part.toolCallId,
  );
}

function toolContext(message, part, isRunActive) {
  if (part.type === "tool_result") return { result: part, isActive: false };
  const result = part.type === "tool_call" ? resultOf(message, part.toolCallId) : null;
  return { result, isActive: isRunActive };
}

function errorBox(onRetry) {
  const code = el("code", { data: { testid: "run-error-code" } });
  const text = el("p", { data: { testid: "run-error-message" } });
  const retry = retryButton(onRetry, "secondary");
  const retried = el("p", { class: "note", text: "Asked again below.", data: { testid: "retried" } });
  const title = el("strong");
  const head = el("div", { class: "error-head" }, icon("alert"), title, code);
  const box = { class: "error-box", data: { testid: "run-error" } };
  const element = el("div", box, head, text, retry, retried);
  return { element, title, code, text, retry, retried };
}

export class TurnView {
  #user = new UserView();
  #answer;
  #painted = [];

  constructor(runId, { onRetry }) {
    this.runId = runId;
    this.#answer = new AnswerView(() => onRetry(runId));
    this.error = errorBox(() => onRetry(runId));
    this.element = el("section", { class: "turn", data: { testid: "turn", runId } });
  }

  /** Give false when a part was left for later. */
  paint(run, { canRetry, wasRetried }) {
    const painted = [run, canRetry, wasRetried];
    if (painted.every((value, index) => value === this.#painted[index])) return true;
    this.element.dataset.status = run.status;
    const hasSaid = run.assistant?.parts.length > 0 || run.cost;
    const hasAnswer = hasSaid || isActive(run) || run.status === "cancelled";
    if (run.user) this.#user.paint(run.user);
    const isDone = hasAnswer ? this.#answer.paint(run, { canRetry, wasRetried }) : true;
    if (run.error) this.#paintError(run, { canRetry, wasRetried });
    const elements = [
      run.user ? this.#user.element : null,
      hasAnswer ? this.#answer.element : null,
      run.error ? this.error.element : null,
    ];
    place(this.element, elements.filter(Boolean));
    this.#painted = isDone ? painted : [];
    return isDone;
  }

  #paintError({ error, user }, { canRetry, wasRetried }) {
    setText(this.error.title, FAILED[error.code] ?? "The answer failed");
    setText(this.error.code, error.code);
    setText(this.error.text, error.message);
    this.error.retry.hidden = !user || wasRetried;
    this.error.retried.hidden = !wasRetried;
    this.error.retry.disabled = !canRetry;
  }
}
