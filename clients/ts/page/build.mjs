// Bundles what the demo page takes from packages into one file, which is committed: npm run page.
import { build } from "esbuild";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
export const file = join(root, "../../cmd/agloop/page/agloop.mjs");

/** Returns the text of the bundle. */
export async function bundle() {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["page/index.mjs"],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none", // the licences below are whole
    metafile: true,
    write: false,
  });
  const [used] = Object.values(metafile.outputs);
  const packages = new Set();
  for (const [path, { bytesInOutput }] of Object.entries(used.inputs)) {
    const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (found && bytesInOutput) packages.add(found[1]);
  }
  return outputFiles[0].text + [...packages].sort().map(license).join("");
}

function license(name) {
  const folder = join(root, "node_modules", name);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const found = readdirSync(folder).find((n) => /^licen[cs]e/i.test(n));
  if (!found) throw new Error(`${name} has no licence`);
  const text = readFileSync(join(folder, found), "utf8").replaceAll("\r\n", "\n").replaceAll("*/", "* /").trim();
  return `/*!\n${name} ${version}\n\n${text}\n*/\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(file, await bundle());
