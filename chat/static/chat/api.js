/** The REST interface: one function per call; what fails is an ApiError. */

const TIMEOUT_MS = 20_000;

export class ApiError extends Error {
  /** `status` is 0 when no answer came at all. */
  constructor({ status, code, detail }) {
    super(detail);
    this.status = status;
    this.code = code;
  }

  /** Whether the same call may succeed later. */
  get isTransient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  get isSignInNeeded() {
    return this.status === 401;
  }
}

function csrfToken() {
  return document.querySelector("input[name=csrfmiddlewaretoken]")?.value ?? "";
}

async function call(method, path, body, more = {}) {
  const headers = { Accept: "application/json", ...more };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new ApiError({ status: 0, code: "network", detail: "The server cannot be reached." });
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw refusal(response, answer);
  return answer;
}

function refusal(response, answer) {
  const detail = answer?.detail;
  return new ApiError({
    status: response.status,
    code: answer?.code ?? `http_${response.status}`,
    detail: typeof detail === "string" ? detail : `The server answered ${response.status}.`,
  });
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

const sessionPath = (sessionId) => `/api/sessions/${encodeURIComponent(sessionId)}`;

export const createSession = (fields) => call("POST", "/api/sessions", fields);
export const listSessions = ({ cursor = null, limit = 40 } = {}) =>
  call("GET", `/api/sessions${query({ limit, cursor })}`);
export const getSession = (sessionId) => call("GET", sessionPath(sessionId));
export const changeSession = (sessionId, fields) => call("PATCH", sessionPath(sessionId), fields);
export const deleteSession = (sessionId) => call("DELETE", sessionPath(sessionId));
export const listMessages = (sessionId, { before = null, limit = 40 } = {}) =>
  call("GET", `${sessionPath(sessionId)}/messages${query({ before, limit })}`);
export const getCosts = (sessionId) => call("GET", `${sessionPath(sessionId)}/costs`);
/** Of one message, sent with the same key again, nothing becomes two. */
export const sendMessage = (sessionId, { type, idempotency_key, ...fields }) =>
  call("POST", `${sessionPath(sessionId)}/messages`, fields, { "Idempotency-Key": idempotency_key });
export const cancelRun = (runId) => call("POST", `/api/runs/${encodeURIComponent(runId)}/cancel`);
export const getRun = (runId) => call("GET", `/api/runs/${encodeURIComponent(runId)}`);
export const retryRun = (runId, fields) =>
  call("POST", `/api/runs/${encodeURIComponent(runId)}/retry`, fields);
export const listModels = () => call("GET", "/api/models");

/** A new UUID; `crypto.randomUUID` is missing on pages served over plain HTTP. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
