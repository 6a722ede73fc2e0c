// The link to the thread of this page, as text and as a QR code.
import { encode } from "./agloop.mjs";
import { makeLink } from "./session.mjs";

const $ = (id) => document.getElementById(id);
const svg = "http://www.w3.org/2000/svg";
let drawn;

// drawShare shows the link, once the session has a secret.
export function drawShare(threadId, secret) {
  const { origin, pathname, hostname } = location;
  $("share-local").hidden = !isLocal(hostname);
  if (!secret) return;
  const link = makeLink(origin + pathname, threadId, secret);
  if (link === drawn) return;
  drawn = link;
  $("share-link").value = link;
  $("share-code").replaceChildren(code(link));
}

// isLocal reports whether only this machine can reach a host.
export const isLocal = (host) => /^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(host);

function code(text) {
  const { data, size } = encode(text, { ecc: "M", border: 2 });
  const image = document.createElementNS(svg, "svg");
  image.setAttribute("viewBox", `0 0 ${size} ${size}`);
  image.setAttribute("role", "img");
  image.setAttribute("aria-label", "QR code of the link");
  const path = document.createElementNS(svg, "path");
  const dark = data.flatMap((row, y) => row.map((on, x) => (on ? `M${x} ${y}h1v1h-1z` : "")));
  path.setAttribute("d", dark.join(""));
  image.append(path);
  return image;
}

$("share-copy").addEventListener("click", async () => {
  const field = $("share-link");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    document.execCommand("copy"); // the other one is there on https and localhost alone
  }
  $("share-copy").textContent = "Copied";
  setTimeout(() => ($("share-copy").textContent = "Copy"), 2000);
});
