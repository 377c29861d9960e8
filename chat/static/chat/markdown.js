/** Markdown from a model as a document fragment that cannot run, load or leave anything. */

import { Marked } from "./vendor/marked.esm.js";
import createPurifier from "./vendor/purify.es.js";
import { el, icon } from "./dom.js";

const TAGS =
  "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i kbd li ol p pre s strong sub sup " +
  "table tbody td th thead tr u ul";
const SAFE = {
  ALLOWED_TAGS: TAGS.split(" "),
  ALLOWED_ATTR: ["href", "title", "align", "start", "class"],
  // Every other attribute is held against the pattern for addresses.
  ADD_URI_SAFE_ATTR: ["align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const LINE_BREAK = /^<br\s*\/?>$/i;
const LANGUAGE = /^language-[\w+#.-]{1,30}$/;

const purifier = createPurifier(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName === "A") hardenLink(node);
  const isLanguage = node.nodeName === "CODE" && LANGUAGE.test(node.getAttribute?.("class"));
  if (!isLanguage) node.removeAttribute?.("class");
});

const parser = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    // Shown as it was written: markup in an answer is text about markup.
    html: ({ text }) => (LINE_BREAK.test(text.trim()) ? "<br>" : escaped(text)),
    // An image would tell its server who reads what: it becomes a link that nobody must follow.
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

function escaped(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]);
}

function hardenLink(link) {
  if (!link.hasAttribute("href")) return;
  link.setAttribute("target", "_blank");
  link.setAttribute("rel", "noopener noreferrer nofollow");
}

/** Always call with the whole text so far: pieces of it may be harmless where the sum is not. */
export function render(text) {
  const fragment = purifier.sanitize(parser.parse(text), SAFE);
  for (const block of fragment.querySelectorAll("pre")) block.replaceWith(codeBlock(block));
  for (const table of fragment.querySelectorAll("table")) {
    const scroller = el("div", { class: "table-scroll", tabindex: "0", role: "group" });
    scroller.setAttribute("aria-label", "Table");
    table.replaceWith(scroller);
    scroller.append(table);
  }
  return fragment;
}

function codeBlock(block) {
  const code = block.querySelector("code") ?? block;
  const language = (code.getAttribute("class") ?? "").replace("language-", "");
  block.setAttribute("tabindex", "0");
  const copy = el(
    "button",
    { type: "button", class: "copy quiet", data: { copy: "code", testid: "copy-code" } },
    icon("copy"),
    el("span", { class: "copy-label", text: "Copy" }),
  );
  const head = el("div", { class: "code-head" }, el("span", { text: language || "text" }), copy);
  return el("div", { class: "code-block" }, head, block.cloneNode(true));
}

/** Show `fragment` in `parent`, keeping the top-level elements that did not change. */
export function morph(parent, fragment) {
  const wanted = [...fragment.childNodes];
  let index = 0;
  for (const node of wanted) {
    const shown = parent.childNodes[index];
    if (!shown) parent.append(node);
    else if (!shown.isEqualNode(node)) shown.replaceWith(node);
    index += 1;
  }
  while (parent.childNodes.length > wanted.length) parent.lastChild.remove();
}
