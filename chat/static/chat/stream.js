/** A session's WebSocket that comes back by itself and resumes after the last event seen. */

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5_000;
const CONNECT_TIMEOUT_MS = 10_000;
// A socket that slept this long with its page may be dead without anyone having noticed.
const TRUSTED_SLEEP_MS = 30_000;
const FINAL_CODES = new Map([
  [4404, "unknown"],
  [4401, "forbidden"],
]);

export class Stream {
  #socket = null;
  #timer = 0;
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
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Give whether the command was put on the wire; that it arrived is not known by this. */
  send(command) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  close() {
    this.#isClosed = true;
    this.#listeners.abort();
    this.#forget();
  }

  #address() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const session = encodeURIComponent(this.sessionId);
    return `${scheme}//${location.host}/ws/sessions/${session}?after=${this.position()}`;
  }

  #connect() {
    if (this.#isClosed) return;
    this.#forget();
    this.onState("connecting", this.#failures);
    const socket = new WebSocket(this.#address());
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#retry(), CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      clearTimeout(this.#timer);
      // Accepted and dropped at once is a failure too: only a lasting socket resets the delay.
      this.#timer = setTimeout(() => (this.#failures = 0), 2 * LONGEST_DELAY_MS);
      this.onState("open", 0);
    };
    socket.onmessage = ({ data }) => this.#read(data);
    socket.onclose = ({ code }) => this.#end(code);
  }

  #read(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (!frame || typeof frame !== "object") return;
    this.#failures = 0;
    this.onFrame(frame);
  }

  #end(code) {
    if (FINAL_CODES.has(code)) {
      this.close();
      this.onState(FINAL_CODES.get(code), 0);
    } else {
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
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
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
