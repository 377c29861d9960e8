/**
 * A React hook that holds one session: its messages, how its run stands, what it costs.
 *
 *     const chat = new Chatledger({ url, apiKey });  // once, outside of the component
 *     const { messages, status, cost, error, send, stop } = useChatledger(chat, sessionId);
 */

import { useCallback, useEffect, useReducer } from "react";

const EMPTY = {
  messages: [],
  runId: null,
  status: "connecting",
  cost: null,
  error: null,
  isLost: false,
};
const PAGE = 100;

/**
 * `messages`: `{id, runId, role, text, isComplete}`, the oldest first, the answer as it grows.
 * `status`: connecting, idle, queued, running, reconnecting, or failed for good (see `error`).
 * `cost` of the newest run: `{total, tokens, isEstimated}`; a `total` of null is an unknown price.
 * `error`: why the newest run, or the connection, failed: `{code, message}`, else null.
 * `send(text, options)` and `stop()` give promises that are rejected with a ChatledgerError.
 */
export function useChatledger(chat, sessionId) {
  const [state, dispatch] = useReducer(reduce, EMPTY);

  useEffect(() => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const tell = (event) => signal.aborted || dispatch(event);
    tell({ type: "opened" });
    follow(chat, sessionId, { signal, tell }).catch(({ code = "internal", message }) =>
      tell({ type: "broken", error: { code, message } }),
    );
    return () => leaving.abort();
  }, [chat, sessionId]);

  const { messages, runId, cost, error } = state;
  const status = state.isLost ? "reconnecting" : state.status;
  const send = useCallback((...said) => chat.send(sessionId, ...said), [chat, sessionId]);
  const stop = useCallback(async () => runId && chat.stop(runId), [chat, runId]);
  return { messages, status, cost, error, send, stop };
}

/** Tell what is stored, then what happens; a run that is active is told from its beginning. */
async function follow(chat, sessionId, { signal, tell }) {
  const { active_run_id: runId, last_seq: lastSeq } = await chat.session(sessionId);
  const { items } = await chat.messages(sessionId, { limit: PAGE });
  tell({ type: "stored", items: items.toReversed(), runId });
  const asked = items.find((item) => item.role === "user" && item.run_id === runId);
  const after = asked ? asked.seq : lastSeq;
  const onConnection = (isOpen) => tell({ type: "connection", isOpen });
  for await (const event of chat.follow(sessionId, { after, signal, onConnection })) tell(event);
}

function reduce(state, event) {
  const changed = CHANGES[event.type]?.(state, event) ?? state;
  if (!event.tokens) return changed;
  const total = event.cost ?? changed.cost?.total ?? null;
  return { ...changed, cost: { total, tokens: event.tokens, isEstimated: true } };
}

const CHANGES = {
  opened: () => EMPTY,
  stored: (state, { items, runId }) => ({
    ...state,
    messages: items.map(messageOf),
    runId,
    status: runId ? "running" : "idle",
  }),
  connection: (state, { isOpen }) => ({ ...state, isLost: !isOpen }),
  broken: (state, { error }) => ({ ...state, status: "failed", error, isLost: false }),
  "stream.reset": (state, { messages }) => ({ ...state, messages: messages.map(messageOf) }),
  "run.queued": (state, { run_id }) =>
    state.runId ? state : { ...state, runId: run_id, status: "queued" },
  "run.started": (state, { run_id }) => ({
    ...state,
    runId: run_id,
    status: "running",
    cost: null,
    error: null,
  }),
  "attempt.started": (state, { run_id }) =>
    without(state, (message) => message.runId === run_id && message.role === "assistant"),
  "message.started": (state, event) =>
    event.role === "assistant" ? grown(state, event, "") : state,
  "text.delta": (state, event) => grown(state, event, event.delta),
  "message.completed": (state, event) => withMessage(state, messageOf(event)),
  "cost.updated": (state, { total, completion_tokens: tokens, estimated: isEstimated }) => ({
    ...state,
    cost: { total, tokens, isEstimated },
  }),
  "run.finished": ended,
  "run.failed": (state, event) => ({
    ...ended(state, event),
    error: { code: event.code, message: event.message },
  }),
  "run.cancelled": (state, event) =>
    event.reason === "rolled_back"
      ? without(ended(state, event), (message) => message.runId === event.run_id)
      : ended(state, event),
};

/** A message as REST, a snapshot or `message.completed` tells it. */
function messageOf({ message_id: id, run_id: runId, role, parts }) {
  const text = parts.map((part) => (part.type === "text" ? part.text : "")).join("");
  return { id, runId, role, text, isComplete: true };
}

function grown(state, { message_id: id, run_id: runId }, delta) {
  const known = state.messages.find((message) => message.id === id);
  if (known?.isComplete) return state;
  const text = (known?.text ?? "") + delta;
  return withMessage(state, { id, runId, role: "assistant", text, isComplete: false });
}

function withMessage(state, message) {
  const index = state.messages.findIndex(({ id }) => id === message.id);
  const messages =
    index < 0 ? [...state.messages, message] : state.messages.with(index, message);
  return { ...state, messages };
}

function without(state, isVoid) {
  return { ...state, messages: state.messages.filter((message) => !isVoid(message)) };
}

/** A run that ended: what it had begun to say stays as it is. */
function ended(state, { run_id: runId }) {
  const messages = state.messages.map((message) =>
    message.runId === runId ? { ...message, isComplete: true } : message,
  );
  if (state.runId !== runId) return { ...state, messages };
  return { ...state, messages, runId: null, status: "idle" };
}
