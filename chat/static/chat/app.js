/** Starts the page: finds its elements, makes its parts, and serves the keyboard. */

import * as api from "./api.js";
import * as clipboard from "./clipboard.js";
import { Composer } from "./composer.js";
import { testId } from "./dom.js";
import { Drawer } from "./drawer.js";
import { textOf } from "./message.js";
import { ModelPicker } from "./models.js";
import { Page } from "./page.js";
import { ConversationView } from "./render.js";
import { Sidebar } from "./sidebar.js";
import { Status } from "./status.js";

const status = new Status({
  banner: testId("connection-banner"),
  notices: testId("notices"),
  live: testId("live-status"),
});

const drawer = new Drawer({
  sidebar: testId("sidebar"),
  main: testId("main"),
  scrim: testId("scrim"),
  opener: testId("open-sidebar"),
  closer: testId("close-sidebar"),
});

const sidebar = new Sidebar(
  {
    list: testId("session-list"),
    filter: testId("session-filter"),
    empty: testId("session-list-empty"),
    more: testId("load-more-sessions"),
  },
  {
    onOpen: (sessionId) => page.open(sessionId),
    onRename: (session) => page.rename(session),
    onDelete: (session) => page.delete(session),
    // The list refreshes by itself: a lost connection is the banner's to tell.
    onFailure: (error) => error.isTransient || page.fail(error),
  },
);

const composer = new Composer(
  {
    form: testId("composer"),
    input: testId("composer-input"),
    send: testId("send"),
    stop: testId("stop"),
  },
  {
    onSend: (text) => page.send(text),
    onStop: () => page.chat?.cancel(),
    onProblem: (sentence) => status.notify(sentence),
  },
);

const picker = new ModelPicker(
  { select: testId("model-picker"), price: testId("model-price") },
  (model) => page.pickModel(model),
);

const view = new ConversationView(
  {
    scroller: testId("conversation"),
    list: testId("turns"),
    jump: testId("jump-latest"),
    empty: testId("empty-state"),
    loading: testId("loading"),
  },
  {
    onRetry: (runId) => page.retry(runId),
    onDiscard: (key) => page.discard(key),
    onNearTop: () => page.chat.loadOlder().catch((error) => page.fail(error)),
  },
);

const page = new Page({
  sidebar,
  drawer,
  composer,
  picker,
  view,
  status,
  title: testId("chat-title"),
  cost: testId("session-cost"),
  problem: testId("problem"),
  signIn: testId("sign-in"),
});

function textOfMessage(messageId) {
  const runs = page.chat?.conversation.runs ?? [];
  const messages = runs.flatMap((run) => [run.user, run.assistant]);
  const message = messages.find((candidate) => candidate?.messageId === messageId);
  return message ? textOf(message) : "";
}

async function loadModels() {
  try {
    picker.offer(await api.listModels());
  } catch (error) {
    if (error.isTransient) setTimeout(loadModels, 5_000);
    else page.fail(error);
  }
}

function isTyping(target) {
  return target.matches?.("input, textarea, select, [contenteditable]") ?? false;
}

function serveKey(event) {
  const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
  if (document.querySelector("dialog[open]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    drawer.open();
    testId("session-filter").focus();
  } else if (event.key === "/" && !hasModifier && !isTyping(event.target)) {
    event.preventDefault();
    composer.focus();
  } else if (event.key === "Escape" && !event.isComposing) {
    if (drawer.isOpen) drawer.close();
    else page.chat?.cancel();
  }
}

function startChat() {
  for (const button of document.querySelectorAll('[data-testid="new-chat"]')) {
    button.addEventListener("click", () => page.open(null));
  }
  for (const button of document.querySelectorAll('[data-testid="example-prompt"]')) {
    button.addEventListener("click", () => page.send(button.textContent.trim()));
  }
  document.addEventListener("keydown", serveKey);
  window.addEventListener("popstate", () => page.openAddress());
  clipboard.serve(document, { textOfMessage, announce: (text) => status.announce(text) });
  sidebar.refresh();
  loadModels();
  page.openAddress();
}

startChat();
