/** The page around one chat: which one is open, and how its parts talk to each other. */

import * as api from "./api.js";
import { Chat } from "./chat.js";
import { isActive } from "./conversation.js";
import * as dialogs from "./dialogs.js";
import { setText } from "./dom.js";
import * as money from "./money.js";
import { titleOf } from "./sidebar.js";

const PRODUCT = "Chatledger";
const BANNERS = { connecting: "Reconnecting…", waiting: "Reconnecting…" };

export class Page {
  chat = null;
  #costs = null;
  #isCreating = false;

  /** `parts`: sidebar, drawer, composer, picker, view, status and the header's elements. */
  constructor(parts) {
    Object.assign(this, parts);
  }

  /** Open what the address names, as after a click on "back". */
  openAddress() {
    const match = /^\/s\/([^/]+)\/?$/.exec(location.pathname);
    this.#show(match ? decodeURIComponent(match[1]) : null);
    this.#focusComposer();
  }

  open(sessionId) {
    const path = sessionId ? `/s/${encodeURIComponent(sessionId)}` : "/";
    if (location.pathname !== path) history.pushState(null, "", path);
    this.drawer.close();
    if (sessionId === null || this.chat?.sessionId !== sessionId) this.#show(sessionId);
    this.#focusComposer();
  }

  /** Where there are no keys, the focus would open a keyboard over the page. */
  #focusComposer() {
    if (window.matchMedia("(pointer: fine)").matches) this.composer.focus();
  }

  #show(sessionId) {
    this.chat?.close();
    this.#costs = null;
    this.problem.hidden = true;
    this.status.hideBanner();
    this.chat = sessionId ? new Chat(sessionId, this.#handlers()) : null;
    this.view.show(this.chat);
    this.composer.open(sessionId ?? "new");
    this.composer.setState({ isRunning: false, isStopping: false, isBlocked: false });
    this.sidebar.setCurrent(sessionId);
    this.picker.choose(this.sidebar.get(sessionId)?.model ?? "");
    this.#paintHeader();
    this.chat?.open();
  }

  #handlers() {
    return {
      onChange: () => this.#noticeChange(),
      onSession: (session) => this.#noticeSession(session),
      onCosts: (costs) => (this.#costs = costs),
      onConnection: (state) => this.#noticeConnection(state),
      onAccepted: () => this.#noticeAccepted(),
      onRunEnded: () => this.#refreshSession(),
      onRefused: (refusal) => this.#noticeRefusal(refusal),
      onAnnounce: (sentence) => this.status.announce(sentence),
    };
  }

  #noticeChange() {
    const { activeRun, stoppingRunId, outbox, sessionId } = this.chat;
    const isStopping = Boolean(activeRun) && activeRun.runId === stoppingRunId;
    const isBlocked = outbox.items.length > 0;
    this.composer.setState({ isRunning: Boolean(activeRun), isStopping, isBlocked });
    this.sidebar.setRunning(sessionId, Boolean(activeRun));
    this.view.schedule();
    this.#paintCost();
  }

  #noticeSession(session) {
    this.sidebar.put(session);
    this.picker.choose(session.model);
    this.#paintHeader();
  }

  #noticeConnection(state) {
    this.view.setConnected(state === "open");
    if (state === "unknown" || state === "forbidden") this.#showProblem(state);
    else this.status.showBanner(BANNERS[state]);
  }

  #showProblem(kind) {
    const sentences = {
      unknown: "This conversation does not exist, or it belongs to somebody else.",
      forbidden: "You are not signed in, or not allowed to see this conversation.",
    };
    const headings = { unknown: "Not found here", forbidden: "Please sign in" };
    this.status.hideBanner();
    setText(this.problem.querySelector("h2"), headings[kind]);
    setText(this.problem.querySelector("p"), sentences[kind]);
    this.problem.querySelector("a").hidden = kind !== "forbidden";
    this.problem.hidden = false;
    this.view.isRefused = true;
    this.view.schedule();
    this.composer.setState({ isBlocked: true, isRunning: false });
    this.status.announce(sentences[kind]);
    if (kind === "unknown") this.sidebar.remove(this.chat.sessionId);
  }

  #noticeRefusal({ code, detail, text }) {
    if (text) this.composer.giveBack(text);
    this.status.notify(detail || `The server refused that (${code}).`);
  }

  /** The first message gives the conversation its title. */
  #noticeAccepted() {
    if (!this.sidebar.get(this.chat.sessionId)?.title) this.#refreshSession();
  }

  async #refreshSession() {
    await this.sidebar.refresh();
    this.#paintHeader();
  }

  #paintHeader() {
    const session = this.chat && this.sidebar.get(this.chat.sessionId);
    const title = session ? titleOf(session) : "New conversation";
    setText(this.title, title);
    document.title = session ? `${title} · ${PRODUCT}` : PRODUCT;
    this.#paintCost();
  }

  /** The ledger's total, moved on by what the runs have cost since it was asked for. */
  #paintCost() {
    const costs = this.#costs;
    this.cost.hidden = !costs;
    if (!costs) return;
    const live = this.chat.conversation.runs.filter((run) => run.cost);
    let pico = money.toPico(costs.total);
    let tokens = costs.prompt_tokens + costs.completion_tokens;
    for (const { runId, cost } of live) {
      const counted = costs.runs?.find((item) => item.run_id === runId);
      const more = (money.toPico(cost.total) ?? 0n) - (money.toPico(counted?.cost) ?? 0n);
      if (pico !== null || cost.total !== null) pico = (pico ?? 0n) + more;
      const before = counted ? counted.prompt_tokens + counted.completion_tokens : 0;
      tokens += cost.promptTokens + cost.completionTokens - before;
    }
    const total = pico === null ? null : money.fromPico(pico);
    const isEstimated = costs.estimated || live.some((run) => isActive(run) && run.cost.isEstimated);
    const amount = tokens === 0 ? "" : money.format(total, costs.currency);
    setText(this.cost.firstElementChild, `${isEstimated && amount ? "≈ " : ""}${amount}`);
    setText(this.cost.lastElementChild, tokens === 0 ? "" : money.formatTokens(tokens));
    const missing = costs.unpriced_calls ? ` · ${costs.unpriced_calls} calls without a price` : "";
    this.cost.title = `This conversation so far: ${total ?? "no price"} ${costs.currency}${missing}`;
  }

  async send(text) {
    if (!this.chat && !(await this.#create(text))) return;
    this.chat.send({ text, model: this.picker.model });
    this.view.jumpToLatest();
  }

  /** A conversation begins to exist with its first message. */
  async #create(text) {
    if (this.#isCreating) return false;
    this.#isCreating = true;
    this.composer.setState({ isBlocked: true });
    try {
      const model = this.picker.model;
      const fields = { session_id: api.newId(), ...(model ? { model } : {}) };
      const session = await api.createSession(fields);
      this.sidebar.put(session);
      this.open(session.session_id);
      return true;
    } catch (error) {
      this.composer.setState({ isBlocked: false });
      this.composer.giveBack(text);
      this.fail(error);
      return false;
    } finally {
      this.#isCreating = false;
    }
  }

  /** A run failed or was stopped: ask the same again. The new run comes over the stream. */
  async retry(runId) {
    if (this.chat.activeRun) return;
    try {
      const model = this.picker.model;
      await api.retryRun(runId, model ? { model } : {});
      this.view.jumpToLatest();
    } catch (error) {
      this.fail(error);
    }
  }

  discard(key) {
    this.composer.giveBack(this.chat.discard(key));
    this.composer.focus();
  }

  async pickModel(model) {
    if (!this.chat) return;
    try {
      this.sidebar.put(await api.changeSession(this.chat.sessionId, { model }));
    } catch (error) {
      this.picker.choose(this.sidebar.get(this.chat.sessionId)?.model);
      this.fail(error);
    }
  }

  async rename(session) {
    const title = await dialogs.askTitle(titleOf(session));
    if (title === null) return;
    try {
      this.sidebar.put(await api.changeSession(session.session_id, { title }));
      this.#paintHeader();
    } catch (error) {
      this.fail(error);
    }
  }

  async delete(session) {
    if (!(await dialogs.confirmDelete(titleOf(session)))) return;
    try {
      await api.deleteSession(session.session_id);
      if (this.chat?.sessionId === session.session_id) this.open(null);
      this.sidebar.remove(session.session_id);
      this.status.announce("The conversation was deleted.");
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    if (!(error instanceof api.ApiError)) throw error;
    if (error.isSignInNeeded) this.signIn.hidden = false;
    else this.status.notify(error.detail);
  }
}
