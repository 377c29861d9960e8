/**
 * The two ways to a session: a WebSocket, and server-sent events with POST for commands, for
 * those whose proxy lets no WebSocket through. Both tell onOpen(), onFrame(frame), onEnd(code).
 */

import * as api from "./api.js";

// One event for each frame would be too many events for a slow way.
const BATCH_MS = 50;
const BAD_GATEWAY = 502;

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export class SocketWire {
  #socket;

  constructor({ sessionId, position, onOpen, onFrame, onEnd }) {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const session = encodeURIComponent(sessionId);
    this.#socket = new WebSocket(`${scheme}//${location.host}/ws/sessions/${session}?after=${position}`);
    this.#socket.onopen = onOpen;
    this.#socket.onmessage = ({ data }) => {
      const frame = parse(data);
      if (frame && typeof frame === "object") onFrame(frame);
    };
    this.#socket.onclose = ({ code }) => onEnd(code);
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  send(command) {
    this.#socket.send(JSON.stringify(command));
  }

  close() {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }
}

export class EventsWire {
  #source;
  #isClosed = false;
  #posted = Promise.resolve();

  constructor({ sessionId, position, onOpen, onFrame, onEnd }) {
    Object.assign(this, { sessionId, onFrame, onEnd });
    const query = new URLSearchParams({ after: position, batch_ms: BATCH_MS });
    const path = `/api/sessions/${encodeURIComponent(sessionId)}/events?${query}`;
    this.#source = new EventSource(path);
    this.#source.onopen = onOpen;
    this.#source.addEventListener("batch", ({ data }) => {
      for (const frame of parse(data)?.events ?? []) onFrame(frame);
    });
    this.#source.addEventListener("stream-reset", ({ data }) =>
      onFrame({ ...parse(data), type: "stream.reset" }),
    );
    // It would come back by itself, but without end and without a word.
    this.#source.onerror = () => onEnd(0);
  }

  get isOpen() {
    return this.#source.readyState === EventSource.OPEN;
  }

  /** One after another: a cancel right behind its message counts. */
  send(command) {
    this.#posted = this.#posted.then(() => this.#post(command));
  }

  async #post(command) {
    try {
      if (command.type === "send_message") await api.sendMessage(this.sessionId, command);
      else await api.cancelRun(command.run_id);
    } catch (error) {
      if (this.#isClosed) return;
      // What got no answer is sent again as soon as the way is open again.
      if (error.status === 0 || error.status >= BAD_GATEWAY) this.onEnd(0);
      else this.onFrame({ type: "refused", code: error.code, detail: error.message });
    }
  }

  close() {
    this.#isClosed = true;
    this.#source.onopen = this.#source.onerror = null;
    this.#source.close();
  }
}
