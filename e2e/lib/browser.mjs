// The demo page in headless Chromium.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, afterEach, before } from "node:test";
import { launch } from "./chromium.mjs";
import { serve } from "./program.mjs";

export const out = new URL("../out/", import.meta.url).pathname;
export const desktop = { viewport: { width: 1280, height: 720 } };
export const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

// What the browser itself writes when nobody listens where a WebSocket is to go, and where it asks for HTTP instead.
const refused = /^(WebSocket connection to '[^']*' failed: Error in connection establishment|Failed to load resource): net::ERR_CONNECTION_REFUSED/;

// pages starts Chromium and a demo for the tests of a file.
export function pages() {
  const api = { demo: undefined, open };
  let browser;
  const contexts = new Set();
  before(async () => {
    mkdirSync(out, { recursive: true });
    api.demo = await serve("demo");
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await api.demo?.stop();
  });
  // Whatever the browser complains about fails the test.
  afterEach(async () => {
    const complaints = [...contexts].flatMap((c) => c.complaints);
    for (const c of contexts) await c.close();
    contexts.clear();
    assert.deepEqual(complaints, []);
  });

  // open has the page in a context of its own, with what was said to its console but refused connections.
  async function open(options = {}, url = api.demo.http) {
    const context = await browser.newContext({ colorScheme: "light", ...desktop, ...options });
    context.setDefaultTimeout(15_000);
    context.complaints = [];
    context.refused = 0;
    contexts.add(context);
    const page = await context.newPage();
    page.on("pageerror", (e) => context.complaints.push(e.message));
    page.on("console", (m) => {
      if (refused.test(m.text())) context.refused++;
      else if (["error", "warning"].includes(m.type())) context.complaints.push(m.text());
    });
    await page.goto(url);
    await connected(page);
    return page;
  }
  return api;
}

export const connected = (page) => page.locator("#link[data-state=open]").waitFor();
export const busy = (page) => page.locator("#log[aria-busy=true]").waitFor();
export const idle = (page) => page.locator("#log[aria-busy=false]").waitFor();
export const speaking = (page) => page.locator(".said-agent.streaming", { hasText: /\w/ }).waitFor();
export const lastText = (page) => page.locator(".said-agent").last().textContent();

export async function write(page, text) {
  await page.getByLabel("Your message").fill(text);
  await page.keyboard.press("Enter");
}

// told is all that the conversation of a page shows.
export const told = (page) => page.locator("#log").evaluate((log) => Array.from(log.children, (el) => el.textContent));

// recordGrowth notes each text that the last message of the agent has, from inside the page.
export const recordGrowth = (page) =>
  page.evaluate(() => {
    window.texts = [];
    const look = () => {
      const text = Array.from(document.querySelectorAll(".said-agent")).at(-1)?.textContent ?? "";
      if (text !== window.texts.at(-1)) window.texts.push(text);
    };
    new MutationObserver(look).observe(document.getElementById("log"), { subtree: true, childList: true, characterData: true });
  });

// grown judges what recordGrowth has noted, and returns how often the text grew.
export async function grown(page) {
  const texts = await page.evaluate(() => window.texts);
  for (const [i, text] of texts.entries()) {
    if (i > 0 && !(text.length > texts[i - 1].length && text.startsWith(texts[i - 1]))) {
      assert.fail(`the text shrank or changed: “${texts[i - 1]}”, then “${text}”`);
    }
  }
  return texts.length;
}
