/** What the parts of an answer look like: text, reasoning, tool cards. */

import { el, icon, place, setText } from "./dom.js";
import * as markdown from "./markdown.js";

// Above this length a part is parsed at most four times a second while it grows.
const LONG_TEXT = 20_000;
const LONG_TEXT_PAUSE_MS = 250;
const SHORT_ARGUMENTS = 80;

/** Each view has `element` and `paint(part, context)`; false means "not now, paint me again". */
export function viewOf(part) {
  return part.type === "text"
    ? new TextView()
    : part.type === "reasoning"
      ? new ReasoningView()
      : new ToolView();
}

class TextView {
  #painted = null;
  #paintedAt = 0;

  constructor() {
    this.element = el("div", { class: "prose", data: { testid: "message-text" } });
  }

  paint(part) {
    if (part === this.#painted) return true;
    const isLong = part.isOpen && part.text.length > LONG_TEXT;
    if (isLong && performance.now() - this.#paintedAt < LONG_TEXT_PAUSE_MS) return false;
    this.element.classList.toggle("is-open", part.isOpen);
    markdown.morph(this.element, markdown.render(part.text));
    this.#painted = part;
    this.#paintedAt = performance.now();
    return true;
  }
}

class ReasoningView {
  #text = new TextView();
  #painted = null;

  constructor() {
    this.label = el("span", { class: "card-name", text: "Thinking" });
    this.element = el(
      "details",
      { class: "card reasoning", data: { testid: "reasoning" } },
      el("summary", {}, icon("thought"), this.label, icon("chevron")),
      el("div", { class: "card-body" }, this.#text.element),
    );
    delete this.#text.element.dataset.testid;
  }

  paint(part) {
    if (part === this.#painted) return true;
    setText(this.label, part.isOpen ? "Thinking…" : "Thought about it");
    this.element.classList.toggle("is-busy", part.isOpen);
    if (!this.#text.paint(part)) return false;
    this.#painted = part;
    return true;
  }
}

class ToolView {
  #painted = [];
  #artifacts = new Map();

  constructor() {
    this.name = el("span", { class: "card-name" });
    this.gist = el("span", { class: "card-gist" });
    this.state = el("span", { class: "card-state" });
    this.asked = el("pre", { class: "plain", tabindex: "0", data: { testid: "tool-arguments" } });
    this.answer = el("pre", { class: "plain", tabindex: "0", data: { testid: "tool-result" } });
    this.answerTitle = el("h4", { text: "Result" });
    this.mark = el("span", { class: "tool-mark" });
    this.card = el(
      "details",
      { class: "card tool", data: { testid: "tool-card" } },
      el("summary", {}, this.mark, this.name, this.gist, this.state, icon("chevron")),
      el(
        "div",
        { class: "card-body" },
        el("h4", { text: "Arguments" }),
        this.asked,
        this.answerTitle,
        this.answer,
      ),
    );
    this.element = el("div", { class: "tool-parts" }, this.card);
  }

  /** `part` is the call, or a result whose call is unknown. */
  paint(part, { result, isActive }) {
    const seen = [part, result, isActive];
    if (seen.every((value, index) => value === this.#painted[index])) return true;
    this.#painted = seen;
    const state = stateOf(part, result, isActive);
    this.card.dataset.state = state;
    setText(this.name, part.name ?? "tool");
    const asked = argumentsOf(part);
    setText(this.gist, gistOf(part.arguments));
    setText(this.state, part.progress && state === "running" ? part.progress : LABELS[state]);
    setText(this.asked, asked);
    const mark = state === "running" ? el("span", { class: "spinner" }) : icon(MARKS[state]);
    this.mark.replaceChildren(mark);
    this.#paintAnswer(result, state);
    return true;
  }

  #paintAnswer(result, state) {
    setText(this.answerTitle, result?.isError ? "Error" : "Result");
    this.answer.dataset.testid = result?.isError ? "tool-error" : "tool-result";
    setText(this.answer, result ? result.content || "(empty)" : LABELS[state]);
    place(this.element, [this.card, ...(result?.artifacts ?? []).map((made) => this.#viewOf(made))]);
  }

  /** Made once: a picture that is put into the page anew would flicker. */
  #viewOf(made) {
    const known = this.#artifacts.get(made.artifact_id);
    if (known) return known;
    const view = artifactView(made);
    this.#artifacts.set(made.artifact_id, view);
    return view;
  }
}

/** What a tool made: a picture is shown, and everything can be saved. */
function artifactView({ name, title, content_type: contentType, size, url }) {
  const isShown = SHOWN_TYPES.has(contentType);
  const picture = isShown ? el("img", { src: url, alt: title, loading: "lazy" }) : null;
  const label = `${name} (${sizeOf(size)})`;
  const link = el("a", { href: url, download: name, text: label });
  if (!isShown) link.title = title;
  const caption = el("figcaption", {}, link);
  const data = { testid: "artifact" };
  return el("figure", { class: "artifact", data }, picture, caption);
}

function sizeOf(bytes) {
  return bytes < 1000 ? `${bytes} bytes` : `${Math.round(bytes / 1000)} kB`;
}

// The server has browsers save whatever else there is.
const SHOWN_TYPES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const LABELS = { running: "Running…", done: "Done", failed: "Failed", stopped: "No result" };
const MARKS = { done: "tool", failed: "alert", stopped: "tool" };

function stateOf(part, result, isActive) {
  if (result) return result.isError ? "failed" : "done";
  return isActive ? "running" : "stopped";
}

function argumentsOf(part) {
  if (part.arguments) return JSON.stringify(part.arguments, null, 2);
  return part.argumentsText || (part.isOpen ? "…" : "(could not be read)");
}

function gistOf(given) {
  const values = Object.values(given ?? {});
  const gist = values.map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  const line = gist.join(", ").replace(/\s+/g, " ");
  return line.length > SHORT_ARGUMENTS ? `${line.slice(0, SHORT_ARGUMENTS)}…` : line;
}
