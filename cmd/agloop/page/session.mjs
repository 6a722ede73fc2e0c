// What outlives the page: in sessionStorage for a reload, and in a link for another device.

const place = "agloop-demo";

// newId works on plain http origins too, where crypto.randomUUID is missing.
export function newId(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return prefix + Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

// load returns what was kept of the thread that a link names, or of the one that was open here.
export function load() {
  const given = readLink(location.hash);
  // The secret leaves the address bar at once: whoever copies, photographs or bookmarks an address
  // does not expect to give a session away. A reload finds it in sessionStorage.
  if (given) history.replaceState(null, "", location.pathname + location.search);
  let kept;
  try {
    kept = JSON.parse(sessionStorage.getItem(place));
  } catch {
    // nothing that could be read
  }
  if (kept?.threadId && (!given || given.threadId === kept.threadId)) return { ...kept, ...given };
  return given ?? { threadId: newId("thread-") };
}

export function save(kept) {
  try {
    sessionStorage.setItem(place, JSON.stringify(kept));
  } catch {
    // A thread that is too large for the storage is not kept. The server may still have it.
  }
}

export function forget() {
  sessionStorage.removeItem(place);
}

// makeLink has the secret in the fragment, which is never sent to a server.
export function makeLink(page, threadId, secret) {
  return `${page}#${new URLSearchParams({ thread: threadId, secret })}`;
}

// readLink returns what the fragment of a link names, if it names a thread.
export function readLink(fragment) {
  const given = new URLSearchParams(fragment.slice(1));
  const [threadId, secret] = [given.get("thread"), given.get("secret")];
  return threadId && secret ? { threadId, secret } : undefined;
}
