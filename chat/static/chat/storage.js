/** What this tab keeps across a reload: drafts and messages that are not yet accepted. */

export function read(key) {
  try {
    return JSON.parse(sessionStorage.getItem(`chatledger.${key}`));
  } catch {
    return null; // Storage is blocked or holds something foreign: the page works without.
  }
}

export function write(key, value) {
  try {
    if (value === null || value === "") sessionStorage.removeItem(`chatledger.${key}`);
    else sessionStorage.setItem(`chatledger.${key}`, JSON.stringify(value));
  } catch {
    // Full or blocked: the page works without.
  }
}
