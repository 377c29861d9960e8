/**
 * A conversation as a value, and the only rules by which events change it.
 *
 * Pure: every change gives a new value that shares what did not change, so whoever paints it
 * compares by identity. A conversation is a list of runs, each with a user's message, the
 * assistant's answer, its state and its cost. Replaying events that are already in it is harmless.
 */

import { assistantOf, complete, withDelta, withPart, withResult, withProgress } from "./message.js";

export const EMPTY = Object.freeze({ lastSeq: 0, runs: Object.freeze([]) });

const ACTIVE = new Set(["queued", "running"]);

export const isActive = (run) => ACTIVE.has(run.status);
export const activeRun = (conversation) => conversation.runs.find(isActive) ?? null;

/** The conversation after one event; the same one when the event is old or of an unknown type. */
export function apply(conversation, event) {
  if (!Number.isInteger(event.seq) || event.seq <= conversation.lastSeq) return conversation;
  return { lastSeq: event.seq, runs: changedRuns(conversation.runs, event) };
}

function changedRuns(runs, event) {
  const change = CHANGES.get(event.type);
  if (!change) return runs;
  if (event.type === "run.cancelled" && event.reason === "rolled_back") {
    return runs.filter((run) => run.runId !== event.run_id);
  }
  const index = runs.findLastIndex((run) => run.runId === event.run_id);
  const before = index < 0 ? newRun(event.run_id, event.seq) : runs[index];
  const after = change(before, event);
  if (index < 0) return [...runs, after];
  return after === before ? runs : runs.with(index, after);
}

function newRun(runId, order) {
  return {
    runId,
    order,
    status: "queued",
    model: "",
    stopReason: null,
    error: null,
    cost: null,
    budget: null,
    user: null,
    assistant: null,
  };
}

const CHANGES = new Map([
  ["run.queued", (run, event) => ({ ...run, model: event.model })],
  ["run.started", (run, event) => ({ ...run, status: "running", model: event.model, error: null })],
  ["run.finished", (run, event) => ended(run, event, { status: "finished" })],
  ["run.failed", runFailed],
  ["run.cancelled", (run, event) => ended(run, event, { status: "cancelled" })],
  ["attempt.started", attemptStarted],
  ["message.started", messageStarted],
  ["message.completed", messageCompleted],
  ["text.started", opening({ type: "text", text: "" })],
  ["text.delta", growing("text")],
  ["text.ended", (run, event) => inMessage(run, event, { isOpen: false })],
  ["reasoning.started", opening({ type: "reasoning", text: "" })],
  ["reasoning.delta", growing("reasoning")],
  ["reasoning.ended", (run, event) => inMessage(run, event, { isOpen: false })],
  ["tool_call.started", toolCallStarted],
  ["tool_call.delta", growing("tool_call")],
  ["tool_call.ended", toolCallEnded],
  ["tool.progress", (run, event) => answered(run, event, withProgress)],
  ["tool.result", (run, event) => answered(run, event, withResult)],
  ["tool.failed", (run, event) => answered(run, event, withResult)],
  ["cost.updated", costUpdated],
  ["budget.warning", (run, { scope, period, percent }) => {
    return { ...run, budget: { scope, period, percent } };
  }],
]);

function runFailed(run, event) {
  const error = { code: event.code, message: event.message };
  return ended(run, event, { status: "failed", error });
}

function ended(run, event, state) {
  const reasons = { cancelled: "cancelled", failed: "failed" };
  const stopReason = reasons[state.status] ?? event.stop_reason ?? "stop";
  const isCutOff = run.assistant && !run.assistant.isComplete;
  const assistant = isCutOff
    ? complete(run.assistant, { seq: event.seq, stopReason })
    : run.assistant;
  return { ...run, ...state, stopReason, assistant };
}

function attemptStarted(run, event) {
  const isFinal = run.assistant?.isComplete && run.assistant.seq > event.seq;
  return { ...run, status: "running", assistant: isFinal ? run.assistant : null };
}

function messageStarted(run, event) {
  if (event.role !== "assistant") return run;
  const status = run.status === "queued" ? "running" : run.status;
  const known = run.assistant;
  if (known?.isComplete && known.seq > event.seq) return run;
  return { ...run, status, assistant: assistantOf(event) };
}

function messageCompleted(run, event) {
  const stopReason = event.stop_reason;
  const started = { ...assistantOf(event), role: event.role };
  const message = complete(started, { seq: event.seq, stopReason, parts: event.parts });
  return withMessage(run, message);
}

function withMessage(run, message) {
  const known = run[message.role];
  if (known?.isComplete && known.messageId === message.messageId) return run;
  return { ...run, [message.role]: message };
}

/** Change the answer that the event is part of, unless it is complete already. */
function answered(run, event, change) {
  const known = run.assistant;
  if (known?.isComplete && (known.messageId === event.message_id || known.seq > event.seq)) {
    return run;
  }
  const message = known?.messageId === event.message_id ? known : assistantOf(event);
  return { ...run, assistant: change(message, event) };
}

function inMessage(run, event, fields) {
  return answered(run, event, (message) => withPart(message, event.part, fields));
}

function opening(fields) {
  return (run, event) => inMessage(run, event, { ...fields, isOpen: true });
}

function growing(type) {
  return (run, event) => {
    const grown = answered(run, event, (message) => withDelta(message, event, type));
    return grown === run ? run : { ...grown, cost: liveCost(run.cost, event) };
  };
}

function toolCallStarted(run, event) {
  const { tool_call_id: toolCallId, name } = event;
  const fields = { type: "tool_call", toolCallId, name, argumentsText: "", arguments: null };
  return inMessage(run, event, { ...fields, isOpen: true });
}

function toolCallEnded(run, event) {
  const { tool_call_id: toolCallId, name } = event;
  const fields = { type: "tool_call", toolCallId, name, arguments: event.arguments };
  return inMessage(run, event, { ...fields, isOpen: false });
}

/** A delta that knows no tokens says nothing about the cost. */
function liveCost(cost, event) {
  if (!event.tokens) return cost;
  const total = event.cost ?? cost?.total ?? null;
  const promptTokens = cost?.promptTokens ?? 0;
  const currency = cost?.currency ?? "USD";
  return { total, currency, isEstimated: true, promptTokens, completionTokens: event.tokens };
}

function costUpdated(run, event) {
  const cost = {
    total: event.total,
    currency: event.currency ?? "USD",
    isEstimated: event.estimated,
    promptTokens: event.prompt_tokens,
    completionTokens: event.completion_tokens,
  };
  return { ...run, cost };
}

/** The conversation with a page of stored messages in it. */
export function withHistory(conversation, items, { activeRunId = null } = {}) {
  const runs = new Map(conversation.runs.map((run) => [run.runId, run]));
  for (const item of items) {
    const known = runs.get(item.run_id);
    const run = known ?? { ...newRun(item.run_id, item.seq), status: "finished" };
    runs.set(item.run_id, withStored(run, item, activeRunId));
  }
  const ordered = [...runs.values()].sort((one, other) => one.order - other.order);
  return { ...conversation, runs: ordered };
}

function withStored(run, item, activeRunId) {
  const started = { ...assistantOf(item), role: item.role, createdAt: item.created_at };
  const stopReason = item.stop_reason;
  const message = complete(started, { seq: item.seq, stopReason, parts: item.parts });
  const stored = { ...withMessage(run, message), order: Math.min(run.order, item.seq) };
  if (item.run_id === activeRunId) return { ...stored, status: "running" };
  if (item.role !== "assistant" || isActive(run)) return stored;
  const status = ["cancelled", "failed"].includes(stopReason) ? stopReason : "finished";
  return { ...stored, status: run.error ? run.status : status, stopReason };
}

/** The conversation with the ledger's costs for the runs that have ended. */
export function withCosts(conversation, items) {
  const known = new Map(items.map((item) => [item.run_id, item]));
  const runs = conversation.runs.map((run) => {
    const item = known.get(run.runId);
    return !item || isActive(run) ? run : { ...run, cost: ledgerCost(run, item) };
  });
  return { ...conversation, runs };
}

function ledgerCost(run, item) {
  return {
    total: item.cost,
    currency: item.currency ?? run.cost?.currency ?? "USD",
    isEstimated: item.estimated ?? run.cost?.isEstimated ?? false,
    promptTokens: item.prompt_tokens,
    completionTokens: item.completion_tokens,
  };
}

/** The conversation with the reason why a run failed, as its record tells it. */
export function withRunError(conversation, { runId, error }) {
  const index = conversation.runs.findIndex((run) => run.runId === runId);
  if (index < 0 || conversation.runs[index].error) return conversation;
  const run = { ...conversation.runs[index], status: "failed", error };
  return { ...conversation, runs: conversation.runs.with(index, run) };
}

/** Where to resume so that the partial answer of an active run is told again. */
export function resumePosition(conversation, activeRunId) {
  const active = conversation.runs.find((run) => run.runId === activeRunId);
  if (active?.user) return active.user.seq;
  const seqs = conversation.runs.flatMap((run) => [run.user?.seq ?? 0, run.assistant?.seq ?? 0]);
  return Math.max(0, ...seqs);
}
