/** What an answer cost: its sum, and on demand the part of each class of tokens. */

import * as api from "./api.js";
import { el, setText } from "./dom.js";
import * as money from "./money.js";

const NAMES = {
  input: "Prompt",
  input_audio: "Prompt, audio",
  cache_read: "Prompt, cached",
  cache_read_audio: "Prompt, cached audio",
  cache_write_5m: "Prompt, written to the cache for 5 minutes",
  cache_write_1h: "Prompt, written to the cache for an hour",
  output: "Answer",
  reasoning: "Reasoning",
  output_audio: "Answer, audio",
  web_search: "Web searches",
};

export class Bill {
  #run = null;

  constructor() {
    const data = { testid: "message-cost" };
    const attributes = { type: "button", class: "link cost", "aria-expanded": "false", data };
    this.button = el("button", { ...attributes, onclick: () => this.#toggle() });
    this.table = el("table", { class: "bill", hidden: true, data: { testid: "bill" } });
  }

  paint(run) {
    const isOutdated = !this.table.hidden && run.status !== this.#run?.status;
    this.#run = run;
    setText(this.button, money.formatCost(run.cost));
    this.button.title = details(run);
    if (isOutdated) this.#read();
  }

  #toggle() {
    const isOpen = this.table.hidden;
    this.button.setAttribute("aria-expanded", String(isOpen));
    this.table.hidden = !isOpen;
    if (isOpen) this.#read();
  }

  async #read() {
    const asked = this.#run;
    try {
      const { charges, cost, currency } = await api.getRun(asked.runId);
      // While it is written, each token makes another value of the run.
      if (asked.status === this.#run.status) this.#show(charges, cost, currency);
    } catch (error) {
      this.#say(`The costs cannot be read: ${error.message}`);
    }
  }

  #say(sentence) {
    this.table.replaceChildren(el("tbody", {}, el("tr", {}, el("td", { text: sentence }))));
  }

  #show(charges, cost, currency) {
    if (!charges.length) {
      this.#say("Charged when the model has answered.");
      return;
    }
    const rows = charges.map(({ token_class, quantity, cost: part }) =>
      row(NAMES[token_class] ?? token_class, quantity.toLocaleString("en-US"), exact(part, currency)),
    );
    const total = row("Together", "", exact(cost, currency));
    this.table.replaceChildren(el("tbody", {}, ...rows), el("tfoot", {}, total));
  }
}

function row(name, quantity, cost) {
  const heading = el("th", { scope: "row", text: name });
  return el("tr", {}, heading, el("td", { text: quantity }), el("td", { text: cost }));
}

function exact(decimal, currency) {
  return decimal === null ? "no price" : `${decimal} ${currency}`;
}

function details({ cost, model }) {
  const tokens = `${cost.promptTokens} tokens in, ${cost.completionTokens} out`;
  const amount = cost.total === null ? "no price known" : exact(cost.total, cost.currency);
  return [amount, tokens, model, cost.isEstimated ? "≈ estimated" : ""].filter(Boolean).join("\n");
}
