/**
 * The messages of a session that the server has not confirmed yet.
 *
 * Each has an idempotency key for life, so that sending it again after a lost connection or a
 * reload is harmless. It is confirmed by the event, or the stored message, that has its text.
 */

import { newId } from "./api.js";
import * as storage from "./storage.js";

/** A sent message that is not confirmed by then may be taken back. */
export const OVERDUE_MS = 8_000;

export const isOverdue = (item) => item.sentAt !== null && Date.now() - item.sentAt > OVERDUE_MS;

export class Outbox {
  constructor(sessionId) {
    this.key = `outbox.${sessionId}`;
    const kept = storage.read(this.key);
    this.items = Array.isArray(kept) ? kept : [];
  }

  /** Only a message after `afterSeq` can be this one; null while the session is not loaded. */
  add({ text, model, afterSeq }) {
    const item = { key: newId(), text, model, afterSeq, sentAt: null };
    this.#keep([...this.items, item]);
    return item;
  }

  command({ key, text, model }) {
    const command = { type: "send_message", text, if_running: "reject", idempotency_key: key };
    return model ? { ...command, model } : command;
  }

  markSent(key) {
    const sentAt = Date.now();
    this.#keep(this.items.map((item) => (item.key === key ? { ...item, sentAt } : item)));
  }

  /** Tell what was written before the session was loaded where it stands. */
  anchor(seq) {
    const afterSeq = (item) => item.afterSeq ?? seq;
    this.#keep(this.items.map((item) => ({ ...item, afterSeq: afterSeq(item) })));
  }

  /** Drop the message that arrived as (text, seq); gives whether there was one. */
  settle({ text, seq }) {
    const isIt = (item) => item.text === text && item.afterSeq !== null && seq > item.afterSeq;
    const arrived = this.items.find(isIt);
    if (arrived) this.remove(arrived.key);
    return Boolean(arrived);
  }

  /** Refusals name no message; commands are answered in order, so it is the oldest one sent. */
  takeRefused() {
    const refused = this.items.find((item) => item.sentAt !== null) ?? null;
    if (refused) this.remove(refused.key);
    return refused;
  }

  remove(key) {
    this.#keep(this.items.filter((item) => item.key !== key));
  }

  #keep(items) {
    this.items = items;
    storage.write(this.key, items.length ? items : null);
  }
}
