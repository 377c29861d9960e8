/** Paints a chat: at most once per animation frame, and only the runs that changed. */

import { place } from "./dom.js";
import { textOf } from "./message.js";
import { TurnView, UserView } from "./turn.js";

const DEFERRED_MS = 250;
const BOTTOM_PX = 48;
const TOP_PX = 240;

export class ConversationView {
  #turns = new Map();
  #pending = new Map();
  #frame = 0;
  #timer = 0;
  #chat = null;
  #isAtBottom = true;
  #lastTop = 0;
  #isConnected = false;

  /** Handlers: onRetry(runId), onDiscard(key), onNearTop(). */
  constructor({ scroller, list, jump, empty, loading }, handlers) {
    Object.assign(this, { scroller, list, jump, empty, loading, handlers });
    scroller.addEventListener("scroll", () => this.#noticeScroll(), { passive: true });
    scroller.addEventListener("wheel", (event) => this.#noticeWheel(event), { passive: true });
    jump.addEventListener("click", () => this.jumpToLatest());
    new ResizeObserver(() => this.#follow()).observe(scroller);
    new ResizeObserver(() => this.#follow()).observe(list);
  }

  /** Show another chat, or none: then the start of a new one. */
  show(chat) {
    this.#chat = chat;
    this.isRefused = false;
    this.#turns.clear();
    this.#pending.clear();
    this.list.replaceChildren();
    this.#isAtBottom = true;
    this.schedule();
  }

  setConnected(isConnected) {
    this.#isConnected = isConnected;
    this.schedule();
  }

  schedule() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  jumpToLatest() {
    this.#isAtBottom = true;
    this.#follow();
  }

  #paint() {
    const chat = this.#chat;
    const runs = chat?.conversation.runs ?? [];
    const waiting = chat?.outbox.items ?? [];
    const isEmpty = runs.length === 0 && waiting.length === 0;
    this.empty.hidden = !(isEmpty && (!chat || chat.isLoaded));
    this.loading.hidden = !chat || chat.isLoaded || this.isRefused || waiting.length > 0;
    const canRetry = !chat?.activeRun && waiting.length === 0;
    const turns = this.#paintTurns(runs, canRetry);
    this.#keepPlace(() => place(this.list, [...turns, ...this.#paintPending(waiting)]));
    this.#follow();
  }

  #paintTurns(runs, canRetry) {
    let isDone = true;
    const known = this.#turns;
    this.#turns = new Map();
    const elements = runs.map((run, index) => {
      const turn = known.get(run.runId) ?? new TurnView(run.runId, this.handlers);
      this.#turns.set(run.runId, turn);
      const wasRetried = asksTheSame(run, runs[index + 1]);
      isDone = turn.paint(run, { canRetry, wasRetried }) && isDone;
      return turn.element;
    });
    clearTimeout(this.#timer);
    if (!isDone) this.#timer = setTimeout(() => this.schedule(), DEFERRED_MS);
    return elements;
  }

  #paintPending(items) {
    const known = this.#pending;
    this.#pending = new Map();
    return items.map((item) => {
      const view = known.get(item.key) ?? new UserView();
      this.#pending.set(item.key, view);
      const onDiscard = () => this.handlers.onDiscard(item.key);
      view.paintPending(item, { isConnected: this.#isConnected, onDiscard });
      return view.element;
    });
  }

  /** Older messages appear above without moving what is being read. */
  #keepPlace(change) {
    const first = this.list.firstElementChild;
    const before = first?.getBoundingClientRect().top;
    change();
    const hasMoved = first?.isConnected && first !== this.list.firstElementChild;
    if (hasMoved) this.scroller.scrollTop += first.getBoundingClientRect().top - before;
  }

  #follow() {
    if (this.#isAtBottom) this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#noticeScroll();
  }

  /** A smooth scroll begins with less than a pixel, which the next paint would undo. */
  #noticeWheel({ deltaY }) {
    if (deltaY < 0 && this.scroller.scrollTop > 0) this.#isAtBottom = false;
  }

  #noticeScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const rest = scrollHeight - scrollTop - clientHeight;
    // The slightest move upwards is a wish to read on: do not pull the reader back down.
    if (scrollTop < this.#lastTop) this.#isAtBottom &&= rest < 1;
    else if (scrollTop > this.#lastTop && rest < BOTTOM_PX) this.#isAtBottom = true;
    this.#lastTop = scrollTop;
    this.jump.hidden = this.#isAtBottom || rest < BOTTOM_PX;
    if (scrollTop < TOP_PX && this.#chat?.hasOlder) this.handlers.onNearTop();
  }
}

function asksTheSame(run, next) {
  return Boolean(run.user && next?.user && textOf(run.user) === textOf(next.user));
}
