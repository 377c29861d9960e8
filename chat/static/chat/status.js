/** What the page says about itself: connection banner, notices, words for screen readers. */

import { el, icon, setText } from "./dom.js";

// A reconnect that succeeds at once needs no banner.
const BANNER_DELAY_MS = 500;
const NOTICE_MS = 8_000;

export class Status {
  #timer = 0;

  constructor({ banner, notices, live }) {
    Object.assign(this, { banner, notices, live });
  }

  /** `text` empty hides the banner. */
  showBanner(text) {
    clearTimeout(this.#timer);
    if (!text) {
      if (!this.banner.hidden) this.announce("Connected again.");
      this.banner.hidden = true;
      return;
    }
    this.#timer = setTimeout(() => {
      if (this.banner.hidden) this.announce(text);
      this.banner.hidden = false;
      setText(this.banner.querySelector("span:last-child"), text);
    }, BANNER_DELAY_MS);
  }

  hideBanner() {
    clearTimeout(this.#timer);
    this.banner.hidden = true;
  }

  /** Gives what takes the notice away before its time. */
  notify(text, { isError = true } = {}) {
    const close = () => notice.remove();
    const dismiss = { type: "button", class: "quiet icon-only", "aria-label": "Dismiss" };
    const notice = el(
      "div",
      { class: `notice ${isError ? "is-error" : ""}`, data: { testid: "notice" } },
      icon(isError ? "alert" : "check"),
      el("span", { text }),
      el("button", { ...dismiss, onclick: close }, icon("close")),
    );
    this.notices.append(notice);
    if (this.notices.children.length > 3) this.notices.firstElementChild.remove();
    this.announce(text);
    setTimeout(close, NOTICE_MS);
    return close;
  }

  announce(text) {
    setText(this.live, text);
  }
}
