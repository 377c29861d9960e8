/**
 * One open session: loads it, follows its stream, sends commands, and tells the page about it.
 *
 * Handlers: onChange() when there is something new to paint, onSession(session), onCosts(costs),
 * onConnection(state), onAccepted() when a user's message arrived, onRunEnded(),
 * onRefused({code, detail, text}), onAnnounce(sentence).
 */

import * as api from "./api.js";
import * as conversation from "./conversation.js";
import { textOf } from "./message.js";
import { OVERDUE_MS, Outbox } from "./outbox.js";
import { Stream } from "./stream.js";

const PAGE = 40;
const LONGEST_DELAY_MS = 5_000;
// After so many failures in a row ask over REST whether the session is still there at all.
const FAILURES_BEFORE_QUESTION = 4;
const TERMINAL = new Set(["run.finished", "run.failed", "run.cancelled"]);

export class Chat {
  #stream = null;
  #isClosed = false;
  #askedErrors = new Set();
  #nextBefore = null;
  #isLoadingOlder = false;
  #retryTimer = 0;
  #knownSeq = 0;
  #epoch = "";

  constructor(sessionId, handlers) {
    this.sessionId = sessionId;
    this.handlers = handlers;
    this.conversation = conversation.EMPTY;
    this.outbox = new Outbox(sessionId);
    this.stoppingRunId = null;
    this.isLoaded = false;
  }

  get activeRun() {
    return conversation.activeRun(this.conversation);
  }

  get hasOlder() {
    return this.#nextBefore !== null;
  }

  /** Load what is stored, then follow; tries again until it works or is refused for good. */
  async open({ floor = 0, failures = 0 } = {}) {
    clearTimeout(this.#retryTimer);
    this.#stream?.close();
    this.#stream = null;
    try {
      await this.#load(floor);
    } catch (error) {
      if (!this.#isClosed) this.#openAgain({ error, floor, failures });
      return;
    }
    if (this.#isClosed) return;
    this.isLoaded = true;
    this.handlers.onChange();
    this.#stream = new Stream({
      sessionId: this.sessionId,
      position: () => `${this.#epoch}:${this.conversation.lastSeq}`,
      onFrame: (frame) => this.#receive(frame),
      onState: (state, count) => this.#noticeConnection(state, count),
    });
    this.#askErrors();
  }

  #openAgain({ error, floor, failures }) {
    if (!(error instanceof api.ApiError)) throw error;
    if (!error.isTransient) {
      const isGone = error.status === 404 || error.status === 410;
      this.handlers.onConnection(isGone ? "unknown" : "forbidden");
      return;
    }
    this.handlers.onConnection("waiting");
    const delay = Math.min(250 * 2 ** failures, LONGEST_DELAY_MS);
    this.#retryTimer = setTimeout(() => this.open({ floor, failures: failures + 1 }), delay);
  }

  async #load(floor) {
    // The session first: an event between the two calls is then replayed, never missed.
    const session = await api.getSession(this.sessionId);
    const page = await api.listMessages(this.sessionId, { limit: PAGE });
    if (this.#isClosed) return;
    const activeRunId = session.active_run_id ?? null;
    const loaded = conversation.withHistory(conversation.EMPTY, page.items, { activeRunId });
    const position = conversation.resumePosition(loaded, activeRunId);
    this.conversation = { ...loaded, lastSeq: Math.max(position, floor) };
    this.#nextBefore = page.next_before ?? null;
    this.#epoch = session.epoch;
    this.#askedErrors.clear();
    this.#knownSeq = Math.max(position, session.last_seq ?? 0);
    for (const run of loaded.runs) this.#settle(run.user);
    this.outbox.anchor(this.#knownSeq);
    this.handlers.onSession(session);
    this.refreshCosts();
  }

  async refreshCosts() {
    try {
      const costs = await api.getCosts(this.sessionId);
      if (this.#isClosed) return;
      this.costs = costs;
      this.conversation = conversation.withCosts(this.conversation, costs.runs ?? []);
      this.handlers.onCosts(costs);
      this.handlers.onChange();
    } catch {
      // Costs are an addition: they come with the next refresh.
    }
  }

  async loadOlder() {
    if (!this.hasOlder || this.#isLoadingOlder) return;
    this.#isLoadingOlder = true;
    try {
      const before = this.#nextBefore;
      const page = await api.listMessages(this.sessionId, { before, limit: PAGE });
      if (this.#isClosed) return;
      this.#nextBefore = page.next_before ?? null;
      this.conversation = conversation.withHistory(this.conversation, page.items);
      const runs = this.costs?.runs ?? [];
      this.conversation = conversation.withCosts(this.conversation, runs);
      this.handlers.onChange();
      this.#askErrors();
      this.#isLoadingOlder = false;
    } catch (error) {
      // The reader is still at the top, so that the next paint would ask again at once.
      setTimeout(() => (this.#isLoadingOlder = false), LONGEST_DELAY_MS);
      throw error;
    }
  }

  /** Stored messages do not say why a run failed; its record does. */
  async #askErrors() {
    const isSilent = (run) =>
      !conversation.isActive(run) && !run.error && (run.status === "failed" || !run.assistant);
    for (const { runId } of this.conversation.runs.filter(isSilent)) {
      if (this.#askedErrors.has(runId)) continue;
      this.#askedErrors.add(runId);
      const record = await api.getRun(runId).catch(() => null);
      if (this.#isClosed) return;
      if (!record?.error) continue;
      const error = { code: record.error.code, message: record.error.detail };
      this.conversation = conversation.withRunError(this.conversation, { runId, error });
      this.handlers.onChange();
    }
  }

  #receive(frame) {
    if (frame.type === "refused") this.#noticeRefusal(frame);
    else if (frame.type === "stream.reset") this.open({ floor: frame.after ?? 0 });
    else this.#apply(frame);
  }

  #apply(event) {
    const before = this.conversation;
    this.conversation = conversation.apply(before, event);
    if (this.conversation === before) return;
    if (event.type === "message.completed" && event.role === "user") {
      this.#settle(this.conversation.runs.find((run) => run.runId === event.run_id)?.user);
      this.handlers.onAccepted();
    }
    this.handlers.onChange();
    if (event.type === "run.started") this.handlers.onAnnounce("The assistant is answering.");
    if (TERMINAL.has(event.type)) this.#noticeEnd(event);
  }

  #settle(message) {
    if (message) this.outbox.settle({ text: textOf(message), seq: message.seq });
  }

  #noticeEnd(event) {
    if (event.run_id === this.stoppingRunId) this.stoppingRunId = null;
    const endings = {
      "run.finished": "The answer is complete.",
      "run.failed": `The answer failed: ${event.message}`,
      "run.cancelled": "The answer was stopped.",
    };
    this.handlers.onAnnounce(endings[event.type]);
    this.handlers.onRunEnded();
    this.refreshCosts();
  }

  #noticeRefusal({ code, detail }) {
    const refused = this.outbox.takeRefused();
    if (!refused) this.stoppingRunId = null;
    this.handlers.onRefused({ code, detail, text: refused?.text ?? "" });
    this.handlers.onChange();
  }

  #noticeConnection(state, failures) {
    if (state === "open") this.#flush();
    this.handlers.onConnection(state);
    if (failures > 0 && failures % FAILURES_BEFORE_QUESTION === 0) this.#askWhetherThere();
  }

  async #askWhetherThere() {
    try {
      await api.getSession(this.sessionId);
    } catch (error) {
      if (this.#isClosed || error.isTransient) return;
      this.#stream?.close();
      this.handlers.onConnection(error.status === 404 ? "unknown" : "forbidden");
    }
  }

  #flush() {
    for (const item of this.outbox.items) this.#transmit(item);
    if (this.stoppingRunId) this.#sendCancel();
    this.handlers.onChange();
  }

  send({ text, model = null }) {
    const seen = Math.max(this.conversation.lastSeq, this.#knownSeq);
    const item = this.outbox.add({ text, model, afterSeq: this.isLoaded ? seen : null });
    this.#transmit(item);
    this.handlers.onChange();
  }

  #transmit(item) {
    if (!this.#stream?.send(this.outbox.command(item))) return;
    this.outbox.markSent(item.key);
    setTimeout(() => this.#isClosed || this.handlers.onChange(), OVERDUE_MS + 100);
  }

  /** Take back a message that never went out; gives its text. */
  discard(key) {
    const item = this.outbox.items.find((waiting) => waiting.key === key);
    this.outbox.remove(key);
    this.handlers.onChange();
    return item?.text ?? "";
  }

  cancel() {
    const run = this.activeRun;
    if (!run || this.stoppingRunId === run.runId) return;
    this.stoppingRunId = run.runId;
    this.#sendCancel();
    this.handlers.onAnnounce("Stopping the answer.");
    this.handlers.onChange();
  }

  #sendCancel() {
    this.#stream?.send({ type: "cancel_run", run_id: this.stoppingRunId });
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    this.#stream?.close();
  }
}
