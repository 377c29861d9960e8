/** A message and its parts as values, and how one event changes one message. */

export function assistantOf(event) {
  return {
    messageId: event.message_id,
    role: "assistant",
    parts: [],
    isComplete: false,
    stopReason: null,
    seq: event.seq ?? 0,
    createdAt: event.at ?? null,
  };
}

/** The message at its end; `parts` as they are on the wire replace what had been collected. */
export function complete(message, { seq, stopReason, parts = null }) {
  const final = parts ? parts.map(fromWire) : message.parts.map(closed);
  return { ...message, parts: final, isComplete: true, seq, stopReason };
}

function closed(part) {
  return part?.isOpen ? { ...part, isOpen: false } : part;
}

function fromWire(part) {
  switch (part.type) {
    case "tool_call":
      return { ...toolOf(part), type: part.type, arguments: part.arguments, argumentsText: "" };
    case "tool_result":
      return {
        ...toolOf(part),
        type: part.type,
        content: part.content,
        isError: part.is_error,
        artifacts: part.artifacts ?? [],
      };
    default:
      return { type: part.type, text: part.text ?? "", isOpen: false };
  }
}

const toolOf = (event) => ({ toolCallId: event.tool_call_id, name: event.name, isOpen: false });

/** The message with fields of one part replaced; the part is made where there is none. */
export function withPart(message, index, fields) {
  const parts = [...message.parts];
  parts[index] = { ...parts[index], ...fields };
  return { ...message, parts };
}

export function withDelta(message, event, type) {
  const part = message.parts[event.part];
  if (type === "tool_call") {
    const argumentsText = (part?.argumentsText ?? "") + event.delta;
    return withPart(message, event.part, { type, argumentsText });
  }
  const text = (part?.text ?? "") + event.delta;
  return withPart(message, event.part, { type, text, isOpen: true });
}

export function withResult(message, event) {
  const isError = event.type === "tool.failed";
  const content = isError ? event.error : event.content;
  const artifacts = event.artifacts ?? [];
  const fields = { ...toolOf(event), type: "tool_result", content, isError, artifacts };
  return withPart(message, event.part, fields);
}

/** Progress names its tool only: it belongs to the last call of it that has no result. */
export function withProgress(message, event) {
  const index = message.parts.findLastIndex(
    (part) =>
      part?.type === "tool_call" && part.name === event.name && !resultOf(message, part.toolCallId),
  );
  return index < 0 ? message : withPart(message, index, { progress: event.text });
}

export function resultOf(message, toolCallId) {
  const isAnswer = (part) => part?.type === "tool_result" && part.toolCallId === toolCallId;
  return message.parts.find(isAnswer) ?? null;
}

/** The text parts joined, without reasoning and tools. */
export function textOf(message) {
  const texts = message.parts.filter((part) => part?.type === "text").map((part) => part.text);
  return texts.join(message.role === "user" ? "" : "\n\n");
}
