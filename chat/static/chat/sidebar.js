/** The list of conversations: newest first, filtered, renamed, deleted. */

import * as api from "./api.js";
import { el, icon, place, setText } from "./dom.js";

const REFRESH_MS = 20_000;
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export const titleOf = (session) => session.title || "New conversation";

export class Sidebar {
  #sessions = new Map();
  #rows = new Map();
  // Undefined until the first page is there, null when there is no further one.
  #cursor = undefined;
  #current = null;
  #running = new Map();

  /** Handlers: onOpen(sessionId), onRename(session), onDelete(session), onFailure(error). */
  constructor({ list, filter, empty, more }, handlers) {
    Object.assign(this, { list, filter, empty, more, handlers });
    filter.addEventListener("input", () => this.#paint());
    more.addEventListener("click", () => this.#loadMore());
    setInterval(() => document.hidden || this.refresh(), REFRESH_MS);
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  /** Fetch the first page again; pages below it stay as they are. */
  async refresh() {
    try {
      const page = await api.listSessions();
      if (this.#cursor === undefined) this.#cursor = page.next_cursor ?? null;
      if (!page.next_cursor) this.#sessions.clear();
      for (const session of page.items) this.#sessions.set(session.session_id, session);
      this.#paint();
    } catch (error) {
      this.handlers.onFailure(error);
    }
  }

  async #loadMore() {
    try {
      const page = await api.listSessions({ cursor: this.#cursor });
      this.#cursor = page.next_cursor ?? null;
      for (const session of page.items) this.#sessions.set(session.session_id, session);
      this.#paint();
    } catch (error) {
      this.handlers.onFailure(error);
    }
  }

  put(session) {
    this.#sessions.set(session.session_id, session);
    this.#paint();
  }

  remove(sessionId) {
    this.#sessions.delete(sessionId);
    this.#paint();
  }

  get(sessionId) {
    return this.#sessions.get(sessionId) ?? null;
  }

  setCurrent(sessionId) {
    this.#current = sessionId;
    this.#running.clear();
    this.#paint();
  }

  /** The open session's stream knows sooner than the list whether it is running. */
  setRunning(sessionId, isRunning) {
    if (this.#running.get(sessionId) === isRunning) return;
    this.#running.set(sessionId, isRunning);
    this.#paint();
  }

  #paint() {
    const wanted = this.filter.value.trim().toLowerCase();
    const shown = [...this.#sessions.values()]
      .filter((session) => titleOf(session).toLowerCase().includes(wanted))
      .sort((one, other) => (one.updated_at < other.updated_at ? 1 : -1));
    const known = this.#rows;
    this.#rows = new Map();
    const elements = shown.map((session) => {
      const row = known.get(session.session_id) ?? rowOf(session.session_id, this);
      this.#rows.set(session.session_id, row);
      this.#paintRow(row, session);
      return row.element;
    });
    place(this.list, elements);
    this.empty.hidden = shown.length > 0;
    setText(this.empty, wanted ? "Nothing matches." : "No conversations yet.");
    this.more.hidden = !this.#cursor;
  }

  #paintRow(row, session) {
    const title = titleOf(session);
    setText(row.title, title);
    row.title.title = title;
    setText(row.time, relative(session.updated_at));
    row.time.setAttribute("datetime", session.updated_at);
    row.time.title = FULL.format(new Date(session.updated_at));
    row.rename.setAttribute("aria-label", `Rename ${title}`);
    row.remove.setAttribute("aria-label", `Delete ${title}`);
    const isCurrent = session.session_id === this.#current;
    if (isCurrent) row.link.setAttribute("aria-current", "page");
    else row.link.removeAttribute("aria-current");
    row.element.classList.toggle("is-current", isCurrent);
    const isRunning = this.#running.get(session.session_id) ?? Boolean(session.active_run_id);
    row.dot.hidden = !isRunning;
  }
}

function rowOf(sessionId, sidebar) {
  const { handlers } = sidebar;
  const title = el("span", { class: "session-title", dir: "auto" });
  const time = el("time");
  const data = { testid: "running-dot" };
  const dot = el("span", { class: "running-dot", role: "img", "aria-label": "Running", data });
  const href = `/s/${encodeURIComponent(sessionId)}`;
  const link = el("a", { href, data: { testid: "session-open" } }, dot, title, time);
  link.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    handlers.onOpen(sessionId);
  });
  const rename = action("edit", "session-rename", () => handlers.onRename(sidebar.get(sessionId)));
  const remove = action("trash", "session-delete", () => handlers.onDelete(sidebar.get(sessionId)));
  const actions = el("span", { class: "session-actions" }, rename, remove);
  const item = { class: "session", data: { testid: "session-item", sessionId } };
  return { element: el("li", item, link, actions), link, title, time, dot, rename, remove };
}

function action(symbol, testid, onclick) {
  const attributes = { type: "button", class: "quiet icon-only", data: { testid }, onclick };
  return el("button", attributes, icon(symbol));
}

function relative(at) {
  const minutes = Math.floor((Date.now() - new Date(at)) / 60_000);
  if (Number.isNaN(minutes)) return "";
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h`;
  if (minutes < 7 * 24 * 60) return `${Math.floor(minutes / (24 * 60))} d`;
  return DAY.format(new Date(at));
}
