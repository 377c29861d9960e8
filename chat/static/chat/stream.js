/**
 * A session's stream that comes back by itself and resumes after the last event seen.
 *
 * Where no WebSocket gets through it uses server-sent events, and tries a WebSocket now and then.
 */

import { EventsWire, SocketWire } from "./wires.js";

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5_000;
const CONNECT_TIMEOUT_MS = 10_000;
// A connection that slept this long with its page may be dead without anyone having noticed.
const TRUSTED_SLEEP_MS = 30_000;
const FIRST_PROBE_MS = 5_000;
const LONGEST_PROBE_MS = 60_000;
const FINAL_CODES = new Map([
  [4404, "unknown"],
  [4401, "forbidden"],
]);

// Of this page's network, so that the next session need not find out again.
let areSocketsBlocked = false;

export class Stream {
  #wire = null;
  #probe = null;
  #timer = 0;
  #probeTimer = 0;
  #failures = 0;
  #hiddenAt = 0;
  #isClosed = false;
  #listeners = new AbortController();

  /**
   * `position` gives the place after the last event seen. `onState` hears "connecting", "open", "waiting" (with the
   * number of failures in a row) and, once, "unknown" or "forbidden", after which nothing follows.
   */
  constructor({ sessionId, position, onFrame, onState }) {
    this.sessionId = sessionId;
    this.position = position;
    this.onFrame = onFrame;
    this.onState = onState;
    const { signal } = this.#listeners;
    window.addEventListener("online", () => this.#connect(), { signal });
    document.addEventListener("visibilitychange", () => this.#noticeVisibility(), { signal });
    this.#connect();
  }

  get isOpen() {
    return Boolean(this.#wire?.isOpen);
  }

  /** Give whether the command was put on the wire; that it arrived is not known by this. */
  send(command) {
    if (!this.isOpen) return false;
    this.#wire.send(command);
    return true;
  }

  close() {
    this.#isClosed = true;
    this.#listeners.abort();
    this.#forget();
  }

  #connect() {
    if (this.#isClosed) return;
    this.onState("connecting", this.#failures);
    this.#open(areSocketsBlocked ? EventsWire : SocketWire);
  }

  #open(Wire) {
    this.#forget();
    let hasOpened = false;
    const onOpen = () => {
      hasOpened = true;
      areSocketsBlocked = Wire === EventsWire;
      this.#noticeOpen();
      if (areSocketsBlocked) this.#probeLater(FIRST_PROBE_MS);
    };
    const onEnd = (code) => this.#end(code, { Wire, hasOpened });
    this.#wire = this.#make(Wire, { onOpen, onEnd });
    this.#timer = setTimeout(onEnd, CONNECT_TIMEOUT_MS, 0);
  }

  #make(Wire, handlers) {
    const onFrame = (frame) => {
      this.#failures = 0;
      this.onFrame(frame);
    };
    return new Wire({ sessionId: this.sessionId, position: this.position(), onFrame, ...handlers });
  }

  #noticeOpen() {
    clearTimeout(this.#timer);
    // Accepted and dropped at once is a failure too: only a lasting wire resets the delay.
    this.#timer = setTimeout(() => (this.#failures = 0), 2 * LONGEST_DELAY_MS);
    this.onState("open", 0);
  }

  /** Try in the background whether a WebSocket gets through by now. */
  #probeLater(delay) {
    this.#probeTimer = setTimeout(() => {
      let hasOpened = false;
      const onOpen = () => {
        hasOpened = true;
        areSocketsBlocked = false;
        clearTimeout(this.#probeTimer);
        this.#wire.close();
        [this.#wire, this.#probe] = [this.#probe, null];
        this.#noticeOpen();
      };
      const onEnd = (code) => {
        if (hasOpened) this.#end(code, { Wire: SocketWire, hasOpened });
        else this.#probeAgain(delay);
      };
      this.#probe = this.#make(SocketWire, { onOpen, onEnd });
      this.#probeTimer = setTimeout(onEnd, CONNECT_TIMEOUT_MS, 0);
    }, delay);
  }

  #probeAgain(delay) {
    this.#forgetProbe();
    this.#probeLater(Math.min(2 * delay, LONGEST_PROBE_MS));
  }

  #end(code, { Wire, hasOpened }) {
    if (FINAL_CODES.has(code)) {
      this.close();
      this.onState(FINAL_CODES.get(code), 0);
    } else if (Wire === SocketWire && !hasOpened) {
      this.#open(EventsWire);
    } else {
      // A server that is away says nothing about WebSockets: the next try begins with one.
      if (!hasOpened) areSocketsBlocked = false;
      this.#retry();
    }
  }

  #retry() {
    this.#forget();
    const delay = Math.min(FIRST_DELAY_MS * 2 ** this.#failures, LONGEST_DELAY_MS);
    this.#failures += 1;
    // Half of the delay is drawn by lot, so that clients of a restarted server spread out.
    this.#timer = setTimeout(() => this.#connect(), delay * (0.5 + Math.random() / 2));
    this.onState("waiting", this.#failures);
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#forgetProbe();
    this.#wire?.close();
    this.#wire = null;
  }

  #forgetProbe() {
    clearTimeout(this.#probeTimer);
    this.#probe?.close();
    this.#probe = null;
  }

  #noticeVisibility() {
    if (document.hidden) {
      this.#hiddenAt = Date.now();
      return;
    }
    const hasSlept = this.#hiddenAt && Date.now() - this.#hiddenAt > TRUSTED_SLEEP_MS;
    if (!this.isOpen || hasSlept) this.#connect();
  }
}
