// Pages in headless Chromium that use the package: bundled by esbuild, served from 127.0.0.1, and watched for complaints.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { launch } from "./chromium.mjs";
import { build } from "../../clients/ts/node_modules/esbuild/lib/main.js";

// bundle is the text of a script for pages. The package is the one that users get: its dist.
export async function bundle(contents, resolveDir = new URL("../", import.meta.url).pathname) {
  const result = await build({
    stdin: { contents, resolveDir, loader: "tsx" },
    bundle: true, write: false, format: "iife", platform: "browser", target: "chrome110", jsx: "automatic", logLevel: "error",
  });
  return result.outputFiles[0].text;
}

// pages serves one page with that script.
export async function pages(script) {
  const browser = await launch();
  const server = createServer(({ url }, response) => {
    response.setHeader("Content-Type", url === "/script.js" ? "text/javascript" : "text/html; charset=utf-8");
    response.end(url === "/script.js" ? script : '<!doctype html><link rel="icon" href="data:,"><div id="root"></div><script src="/script.js"></script>');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    // open opens the page. What it complains of fails the test, unless it must be said (expected, each once), or may be (allowed).
    async open(t, { cookie, expected = [], allowed, ignoreHTTPSErrors } = {}) {
      const context = await browser.newContext({ ignoreHTTPSErrors });
      const url = `http://127.0.0.1:${server.address().port}/`;
      if (cookie) await context.addCookies([{ ...cookie, url }]);
      const page = await context.newPage();
      page.setDefaultTimeout(10_000);
      const complaints = [];
      page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(m.text()));
      page.on("pageerror", (e) => complaints.push(`uncaught: ${e.message}`)); // rejections that nobody handles too
      t.after(async () => {
        await page.evaluate(() => new Promise((resolve) => setTimeout(resolve))); // what is on its way comes first
        await context.close();
        for (const like of expected) {
          const at = complaints.findIndex((text) => like.test(text));
          assert.ok(at >= 0, `${like} was to be said, and there was ${JSON.stringify(complaints)}`);
          complaints.splice(at, 1);
        }
        assert.deepEqual(complaints.filter((text) => !allowed?.test(text)), []);
      });
      await page.goto(url);
      return page;
    },
    async close() {
      await browser.close();
      server.close();
    },
  };
}
