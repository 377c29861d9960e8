/** The sidebar on narrow screens: a drawer over the page. */

const NARROW = window.matchMedia("(max-width: 800px)");

export class Drawer {
  constructor({ sidebar, main, scrim, opener, closer }) {
    Object.assign(this, { sidebar, main, scrim, opener });
    opener.addEventListener("click", () => this.open());
    closer.addEventListener("click", () => this.close());
    scrim.addEventListener("click", () => this.close());
    NARROW.addEventListener("change", () => this.#show(false));
    this.#show(false);
  }

  get isOpen() {
    return this.sidebar.classList.contains("is-open");
  }

  open() {
    if (!NARROW.matches) return;
    this.#show(true);
    this.sidebar.querySelector("button, a, input").focus();
  }

  close() {
    if (!this.isOpen) return;
    this.#show(false);
    this.opener.focus();
  }

  #show(isOpen) {
    this.sidebar.classList.toggle("is-open", isOpen);
    this.scrim.hidden = !isOpen;
    this.opener.setAttribute("aria-expanded", String(isOpen));
    // Whatever cannot be seen must not be reached with Tab either.
    this.sidebar.inert = NARROW.matches && !isOpen;
    this.main.inert = isOpen;
  }
}
