/** The model picker: what can be used now, and what it costs. */

import { el, setText } from "./dom.js";
import * as money from "./money.js";

export class ModelPicker {
  #models = [];
  #standard = "";

  /** `onPick(model)` hears what the user chose. */
  constructor({ select, price }, onPick) {
    Object.assign(this, { select, price });
    select.addEventListener("change", () => {
      this.#paintPrice();
      onPick(select.value);
    });
  }

  /** The model to ask for; null leaves the choice to the server. */
  get model() {
    return this.#models.some(({ model }) => model === this.select.value) ? this.select.value : null;
  }

  offer({ items, default: standard }) {
    const chosen = this.select.value;
    this.#models = items;
    this.#standard = standard ?? items.find((item) => item.is_default)?.model ?? "";
    const groups = Map.groupBy
      ? Map.groupBy(items, (item) => item.provider)
      : new Map([["Models", items]]);
    const options = [...groups].map(([provider, members]) =>
      el("optgroup", { label: provider }, ...members.map(optionOf)),
    );
    this.select.replaceChildren(...(groups.size > 1 ? options : items.map(optionOf)));
    this.select.disabled = items.length === 0;
    this.choose(chosen);
  }

  /** Show a session's model; "" is the standard one. */
  choose(model) {
    const wanted = model || this.#standard;
    this.select.querySelector("[data-gone]")?.remove();
    const isOffered = this.#models.some((item) => item.model === wanted);
    if (!isOffered && wanted && this.#models.length) {
      const text = `${wanted} (not available)`;
      this.select.append(el("option", { value: wanted, text, data: { gone: "" } }));
    }
    this.select.value = wanted;
    this.#paintPrice();
  }

  #paintPrice() {
    const item = this.#models.find(({ model }) => model === this.select.value);
    setText(this.price, item ? money.formatPrice(item.price) : "");
    const limits = item?.supports_tools ? "" : " · cannot use tools";
    this.select.title = item ? item.model + limits : "";
    // The examples are such that the model can do them.
    document.body.dataset.tools = item && !item.supports_tools ? "none" : "some";
  }
}

function optionOf(item) {
  return el("option", { value: item.model, text: item.name || item.model });
}
