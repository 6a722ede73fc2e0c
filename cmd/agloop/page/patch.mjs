// JSON Patch (RFC 6902) and JSON Pointer (RFC 6901), as STATE_DELTA needs them.

// patch returns doc with all operations applied, or throws and leaves doc as it was.
export function patch(doc, operations) {
  let root = structuredClone(doc);
  for (const op of operations) root = apply(root, op);
  return root;
}

function apply(root, op) {
  switch (op.op) {
    case "add":
      return put(root, op.path, op.value, false);
    case "replace":
      get(root, op.path);
      return put(root, op.path, op.value, true);
    case "remove":
      return take(root, op.path);
    case "copy":
      return put(root, op.path, get(root, op.from), false);
    case "move": {
      if (op.path === op.from) return root;
      if (op.path.startsWith(op.from + "/")) throw new Error(`cannot move ${op.from} into itself`);
      const value = get(root, op.from);
      return put(take(root, op.from), op.path, value, false);
    }
    case "test":
      if (!same(get(root, op.path), op.value)) throw new Error(`test failed at ${op.path}`);
      return root;
  }
  throw new Error(`unknown operation ${op.op}`);
}

function tokens(path) {
  if (path === "") return [];
  if (path[0] !== "/") throw new Error(`not a pointer: ${path}`);
  return path.slice(1).split("/").map((t) => t.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function get(root, path) {
  return tokens(path).reduce((at, token) => child(at, token, path), root);
}

function child(at, token, path) {
  if (Array.isArray(at)) return at[index(token, at.length - 1, path)];
  if (at === null || typeof at !== "object" || !Object.hasOwn(at, token)) throw new Error(`nothing at ${path}`);
  return at[token];
}

function index(token, max, path) {
  if (!/^(0|[1-9]\d*)$/.test(token) || Number(token) > max) throw new Error(`no index ${token} at ${path}`);
  return Number(token);
}

// parent returns the container of path and the last token.
function parent(root, path) {
  const all = tokens(path);
  const last = all.pop();
  const at = all.reduce((c, token) => child(c, token, path), root);
  if (at === null || typeof at !== "object") throw new Error(`nothing at ${path}`);
  return [at, last];
}

function put(root, path, value, over) {
  value = structuredClone(value);
  if (path === "") return value;
  const [at, last] = parent(root, path);
  if (Array.isArray(at)) {
    const i = last === "-" && !over ? at.length : index(last, over ? at.length - 1 : at.length, path);
    at.splice(i, over ? 1 : 0, value);
  } else {
    // Plain assignment to "__proto__" would change the prototype instead.
    Object.defineProperty(at, last, { value, writable: true, enumerable: true, configurable: true });
  }
  return root;
}

function take(root, path) {
  get(root, path);
  if (path === "") return null;
  const [at, last] = parent(root, path);
  if (Array.isArray(at)) at.splice(Number(last), 1);
  else delete at[last];
  return root;
}

function same(a, b) {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && same(a[k], b[k]));
}
