/**
 * A client of Chatledger: sessions, messages, live events, runs and their costs.
 *
 *     const chat = new Chatledger({ url: "http://localhost:8000" });
 *     const { session_id } = await chat.createSession();
 *     const { seq } = await chat.send(session_id, "What is a ledger?");
 *     for await (const event of chat.follow(session_id, { after: seq })) console.log(event);
 */

/** The events that end a run; each run has one of them. */
export const TERMINAL = new Set(["run.finished", "run.failed", "run.cancelled"]);

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5_000;
const CALL_TRIES = 4;
const CALL_TIMEOUT_MS = 20_000;
const OPEN_TIMEOUT_MS = 10_000;
// The server says something on a quiet stream every 20 s.
const SILENCE_TIMEOUT_MS = 45_000;

/** What fails. `code` is for programs, the message for people; `status` is 0 without an answer. */
export class ChatledgerError extends Error {
  constructor({ status, code, detail }) {
    super(detail);
    this.name = "ChatledgerError";
    this.status = status;
    this.code = code;
  }

  /** Whether the same call may succeed later. */
  get isTransient() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

/** One server, as one user sees it. Calls are repeated when their answer is lost. */
export class Chatledger {
  #url;
  #apiKey;

  constructor({ url = globalThis.location?.origin, apiKey = null } = {}) {
    this.#url = url.replace(/\/+$/, "");
    this.#apiKey = apiKey;
  }

  /** The models that can be used now: `{items, default}`. */
  models() {
    return this.#call("GET", "/api/models");
  }

  /** A page of sessions, most recently used first: `{items, next_cursor}`. */
  sessions({ cursor = "", limit = 20 } = {}) {
    return this.#call("GET", `/api/sessions?${new URLSearchParams({ cursor, limit })}`);
  }

  /** Create a session; with the id of one that the caller has already, give that one. */
  createSession({ sessionId = newId(), title = "", model = null } = {}) {
    return this.#call("POST", "/api/sessions", { body: { session_id: sessionId, title, model } });
  }

  session(sessionId) {
    return this.#call("GET", sessionPath(sessionId));
  }

  /** A page of messages that are complete, the newest first: `{items, next_before}`. */
  messages(sessionId, { before = null, limit = 20 } = {}) {
    const page = before === null ? { limit } : { limit, before };
    return this.#call("GET", `${sessionPath(sessionId)}/messages?${new URLSearchParams(page)}`);
  }

  /** Send a message: `{run_id, message_id, seq}`. The same key again gives the same run again. */
  send(sessionId, text, { model = null, ifRunning = "reject", idempotencyKey = newId() } = {}) {
    return this.#call("POST", `${sessionPath(sessionId)}/messages`, {
      body: { text, model, if_running: ifRunning },
      headers: { "Idempotency-Key": idempotencyKey },
    });
  }

  /** How a run stands, what it used and what it cost. */
  run(runId) {
    return this.#call("GET", runPath(runId));
  }

  /** Stop a run and keep its text. A run that has ended stays as it is. */
  stop(runId) {
    return this.#call("POST", `${runPath(runId)}/cancel`);
  }

  /**
   * Give a session's events after a seq, each once and in order, until `signal` is aborted.
   *
   * 0 is the beginning; without `after` it is now. A broken connection is opened again where it
   * broke; `onConnection` hears of both. A position that the server does not keep any more gives
   * one event `stream.reset` with the newest `messages`.
   */
  async *follow(sessionId, { after = null, signal = never(), onConnection = () => {} } = {}) {
    const session = await this.session(sessionId);
    const place = { epoch: session.epoch, seq: after ?? session.last_seq };
    let failures = 0;
    while (!signal.aborted) {
      let isOpen = false;
      for await (const frame of this.#frames(sessionId, place, signal)) {
        if (!isOpen) onConnection(true);
        isOpen = true;
        failures = 0;
        if (passes(place, frame)) yield frame;
      }
      if (signal.aborted) return;
      onConnection(false);
      await delay(failures, signal);
      failures += 1;
    }
  }

  /**
   * What comes over one connection: a socket, or SSE where no socket can be opened.
   *
   * A session that is gone or a wrong key closes the socket, and SSE then says why.
   */
  async *#frames(sessionId, place, signal) {
    const query = new URLSearchParams({ after: `${place.epoch}:${place.seq}`, caught_up: 1 });
    let isOpen = false;
    for (const transport of [this.#overSocket, this.#overSse]) {
      for await (const frame of transport.call(this, sessionId, query, signal)) {
        isOpen = true;
        yield frame;
      }
      if (isOpen || signal.aborted) return;
    }
  }

  async *#overSocket(sessionId, query, signal) {
    const address = this.#url.replace(/^http/, "ws");
    const path = `/ws/sessions/${encodeURIComponent(sessionId)}`;
    const asked = new URLSearchParams(query);
    // A browser sends no headers of ours with a socket.
    if (this.#apiKey) asked.set("token", this.#apiKey);
    yield* read(framesOf(new WebSocket(`${address}${path}?${asked}`)), signal);
  }

  async *#overSse(sessionId, query, signal) {
    const path = `${sessionPath(sessionId)}/events?${query}`;
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), OPEN_TIMEOUT_MS);
    try {
      const { body } = await this.#answer("GET", path, { signal: silence.signal });
      let [rest, name] = ["", ""];
      for await (const chunk of read(body.pipeThrough(new TextDecoderStream()), signal)) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_TIMEOUT_MS);
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          if (line.startsWith("event: ")) name = line.slice(7).replace("-", ".");
          if (line.startsWith("data: {")) yield { type: name, ...JSON.parse(line.slice(6)) };
        }
      }
    } catch (error) {
      if (!error.isTransient) throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #call(method, path, options) {
    for (let failures = 1; failures < CALL_TRIES; failures += 1) {
      try {
        return await (await this.#answer(method, path, options)).json();
      } catch (error) {
        if (!error.isTransient) throw error;
      }
      await delay(failures, never());
    }
    return (await this.#answer(method, path, options)).json();
  }

  async #answer(method, path, { body, headers = {}, signal = null } = {}) {
    const known = this.#apiKey ? { Authorization: `Bearer ${this.#apiKey}` } : {};
    const typed = body ? { "Content-Type": "application/json" } : {};
    let response;
    try {
      response = await fetch(this.#url + path, {
        method,
        headers: { ...known, ...typed, ...headers },
        body: body && JSON.stringify(body),
        signal: signal ?? AbortSignal.timeout(CALL_TIMEOUT_MS),
      });
    } catch {
      const detail = `No answer from ${this.#url}`;
      throw new ChatledgerError({ status: 0, code: "server_away", detail });
    }
    if (response.ok) return response;
    const { status } = response;
    const problem = await response.json().catch(() => ({}));
    const { code = `http_${status}`, detail = `The server answered ${status}` } = problem;
    throw new ChatledgerError({ status, code, detail });
  }
}

/** The frames of a socket, as a stream that ends when the socket does. */
function framesOf(socket) {
  let timer;
  let end;
  const forget = () => {
    clearTimeout(timer);
    globalThis.removeEventListener?.("online", end);
    socket.onmessage = socket.onclose = null;
    socket.close();
  };
  return new ReadableStream({
    start(controller) {
      end = () => {
        forget();
        controller.close();
      };
      // Something comes at once; else the socket only looks open.
      timer = setTimeout(end, OPEN_TIMEOUT_MS);
      // A socket from before the network went may never hear that it is dead.
      globalThis.addEventListener?.("online", end);
      socket.onclose = end;
      socket.onmessage = ({ data }) => {
        clearTimeout(timer);
        controller.enqueue(JSON.parse(data));
      };
    },
    cancel: forget,
  });
}

/** What a stream gives until it ends or breaks, or until `signal` is aborted. */
async function* read(stream, signal) {
  const reader = stream.getReader();
  const leave = () => reader.cancel().catch(() => {});
  signal.addEventListener("abort", leave);
  try {
    while (!signal.aborted) {
      const { done, value } = await reader.read().catch(() => ({ done: true }));
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", leave);
    await leave();
  }
}

/** Move to a frame; gives whether it is an event that the reader has not had. */
function passes(place, frame) {
  if (frame.type === "stream.reset") {
    place.epoch = frame.epoch;
    place.seq = frame.after;
    return true;
  }
  if (frame.type === "caught_up" || frame.seq <= place.seq) return false;
  place.seq = frame.seq;
  return true;
}

/** Wait before the next try; half of it is drawn by lot, so that many clients spread out. */
function delay(failures, signal) {
  const longest = Math.min(FIRST_DELAY_MS * 2 ** failures, LONGEST_DELAY_MS);
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, longest * (0.5 + Math.random() / 2));
    signal.addEventListener("abort", end);
  });
}

// crypto.randomUUID is missing on pages served over plain HTTP.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const never = () => new AbortController().signal;
const sessionPath = (sessionId) => `/api/sessions/${encodeURIComponent(sessionId)}`;
const runPath = (runId) => `/api/runs/${encodeURIComponent(runId)}`;
