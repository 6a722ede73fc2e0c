// The demo page in headless Chromium.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { chromium } from "playwright-core";
import { serve } from "./lib/program.mjs";
import { relay } from "./lib/wire.mjs";

const out = new URL("./out/", import.meta.url).pathname;

let browser;
let demo;
before(async () => {
  mkdirSync(out, { recursive: true });
  demo = await serve("demo");
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", // Chromium as root, as in containers, starts only without
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});
after(async () => {
  await browser?.close();
  await demo?.stop();
});

let page;
let complaints;
beforeEach(() => (complaints = []));
afterEach(async () => {
  await page?.context().close();
});

async function open(options = {}, url = demo.http) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, colorScheme: "light", ...options });
  page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(m.text()));
  page.on("pageerror", (e) => complaints.push(e.message));
  await page.goto(url);
  await connected();
  return page;
}

const connected = () => page.locator("#link[data-state=open]").waitFor();
const idle = () => page.locator("#log[aria-busy=false]").waitFor();
const agentText = () => page.locator(".said-agent").last();

async function write(text) {
  await page.getByLabel("Your message").fill(text);
  await page.keyboard.press("Enter");
}

test("an answer streams into the page", async () => {
  await open();
  // Record every text the growing message has, from inside the page.
  await page.evaluate(() => {
    window.lengths = [];
    new MutationObserver(() => {
      const text = document.querySelector(".said-agent")?.textContent ?? "";
      if (text.length !== window.lengths.at(-1)) window.lengths.push(text.length);
    }).observe(document.getElementById("log"), { subtree: true, childList: true, characterData: true });
  });
  const words = 'Why does <img src=x onerror="alert(1)"> stay text?';
  await write(words);
  await page.locator(".said-agent.streaming").waitFor();
  assert.equal(await page.locator("#stop").isVisible(), true);
  await idle();

  const lengths = await page.evaluate(() => window.lengths);
  assert.ok(lengths.length > 40, `the text grew ${lengths.length} times`);
  assert.ok(lengths.every((n, i) => i === 0 || n > lengths[i - 1]), "it only ever grew");
  const text = await agentText().textContent();
  assert.equal(text.length, lengths.at(-1));
  assert.ok(text.includes(words), "the answer echoes the words");
  assert.equal(await page.locator(".said-user").textContent(), words);
  assert.equal(await page.locator("#log img").count(), 0, "nothing became markup");

  const card = page.locator(".tool");
  assert.equal(await card.locator(".tool-name").textContent(), "measure_text");
  assert.deepEqual(JSON.parse(await card.locator(".tool-args").textContent()), { text: words });
  assert.match(await card.locator(".tool-result").textContent(), /words\d+.*longest/);
  assert.equal(await card.locator(".tool-status").textContent(), "done");

  assert.equal(await page.locator("#plan-title").textContent(), "Answer you");
  assert.equal(await page.locator("#plan-count").textContent(), "3 of 3");
  assert.equal(await page.locator("#plan-steps li[data-status=done]").count(), 3);
  assert.equal(await page.locator("#spoken").textContent(), text, "the finished answer is announced");
  assert.deepEqual(complaints, []);
});

for (const [button, outcome, said] of [
  ["Approve", "Approved", /^Done: a table for 4/],
  ["Decline", "Declined", /nothing is booked/],
]) {
  test(`the person answers a question with ${button}`, async () => {
    await open();
    await page.getByRole("button", { name: "Ask me first" }).click();
    const question = page.locator(".question");
    await question.waitFor();
    assert.match(await question.textContent(), /Book the table for 4 on Thursday/);
    assert.equal(await page.locator("#plan-steps li[aria-current=step]").textContent(), "Ask you first, active");
    await page.mouse.move(0, 0); // no hover in the picture
    if (button === "Approve") await page.screenshot({ path: `${out}demo.png` });
    await question.getByRole("button", { name: button }).click();
    assert.equal(await question.locator(".question-outcome").textContent(), outcome);
    await idle();
    assert.match(await agentText().textContent(), said);
    assert.equal(await page.locator(".tool-name", { hasText: "book_table" }).count(), button === "Approve" ? 1 : 0);
    assert.equal(await question.getByRole("button").count(), 0);
    assert.deepEqual(complaints, []);
  });
}

test("a question left open gives way to other words", async () => {
  await open();
  await page.getByRole("button", { name: "Ask me first" }).click();
  await page.locator(".question").waitFor();
  await write("Something else");
  await idle();
  assert.equal(await page.locator(".question-outcome").textContent(), "Left unanswered");
  assert.match(await agentText().textContent(), /“Something else”/);
});

test("the strip shows connections, events and the batch size", async () => {
  await open();
  await page.getByRole("button", { name: "Show a burst" }).click();
  const above = (id, n) =>
    page.waitForFunction(([id, n]) => Number(document.getElementById(id).textContent.replace(",", "")) >= n, [id, n]);
  await above("stat-connections", 1);
  await above("stat-events", 20);
  await above("stat-batch", 1.5); // several events leave in one write
  await idle();
  assert.deepEqual(complaints, []);
});

test("a profile button takes effect, on the server and on every page", async () => {
  const own = await serve("demo"); // the other tests keep theirs as it is
  try {
    await open({}, own.http);
    const watcher = await page.context().newPage();
    await watcher.goto(own.http);
    await page.bringToFront();
    const button = (name) => page.getByRole("group", { name: "Profile" }).getByRole("button", { name });
    const holds = (where, profile, window) =>
      where.waitForFunction(
        ([profile, window]) =>
          document.getElementById("stat-profile").textContent === profile &&
          document.getElementById("stat-window").textContent === window,
        [profile, window],
      );
    await holds(page, "balanced", "10 in 5 ms");
    assert.equal(await button("Balanced").getAttribute("aria-pressed"), "true");
    assert.match(await page.locator("#stat-memory").textContent(), /^(normal|moderate|elevated|high|critical), .*%$/);
    assert.match(await page.locator("#decision").textContent(), /^none yet.*off until you switch it on/);

    for (const [name, window] of [["Latency", "none"], ["Throughput", "64 in 10 ms"], ["Memory", "10 in 5 ms"], ["Latency", "none"]]) {
      await button(name).click();
      await holds(page, name.toLowerCase(), window);
      assert.equal(await page.locator("#profiles [aria-pressed=true]").textContent(), name);
      assert.equal(await page.locator("#spoken").textContent(), `Profile ${name.toLowerCase()}`);
    }
    await holds(watcher, "latency", "none");
    const stats = await (await fetch(`${own.http}/stats`)).json();
    assert.equal(stats.profile, "latency");

    const adaptive = page.getByRole("switch", { name: "Adaptive optimization" });
    for (const on of [true, false]) {
      await adaptive.focus();
      await page.keyboard.press("Space");
      await page.locator(`#adaptive[aria-checked=${on}]`).waitFor();
      assert.equal((await (await fetch(`${own.http}/stats`)).json()).adaptive, on);
    }
    assert.deepEqual(complaints, []);
  } finally {
    await own.stop();
  }
});

test("a page of another origin cannot tune the server", async () => {
  const other = await serve("demo");
  try {
    await open({ bypassCSP: true }, other.http); // its own policy would not even let it ask
    const url = `${demo.http}/profile`;
    const [answer] = await Promise.all([
      page.waitForResponse(url),
      page.evaluate((url) => fetch(url, { method: "POST", mode: "no-cors", body: new URLSearchParams({ profile: "memory" }) }), url),
    ]);
    assert.equal(answer.status(), 403);
    assert.equal((await (await fetch(`${demo.http}/stats`)).json()).profile, "balanced");
  } finally {
    await other.stop();
  }
});

test("stop ends the run, and the page connects again", async () => {
  await open();
  await write("This takes a while");
  await page.locator(".said-agent.streaming").waitFor();
  await page.locator("#stop").click();
  assert.match(await page.locator(".notice").textContent(), /stopped/);
  assert.equal(await page.locator(".streaming").count(), 0);
  await connected();
  await write("And again");
  await idle();
  assert.match(await agentText().textContent(), /“And again”/);
  assert.deepEqual(complaints, []);
});

test("a lost connection is shown, and the page comes back by itself", async (t) => {
  const between = await relay(demo.host);
  t.after(() => between.close());
  await open({}, between.http);
  await write("Cut me off");
  await page.locator(".said-agent.streaming").waitFor();
  between.cut();
  await page.locator(".notice-error").waitFor();
  assert.equal(await page.locator(".streaming").count(), 0);
  await connected();
  await write(" still ");
  await idle();
  assert.match(await agentText().textContent(), /“still”/);
});

test("phones and the dark", async () => {
  for (const [name, options] of [
    ["dark", { colorScheme: "dark" }],
    ["phone", { viewport: { width: 375, height: 720 }, isMobile: true, hasTouch: true }],
    ["phone-dark", { viewport: { width: 320, height: 640 }, colorScheme: "dark", isMobile: true, hasTouch: true }],
  ]) {
    await open(options);
    await page.locator("#stat-events", { hasText: /\d/ }).waitFor();
    await page.screenshot({ path: `${out}${name}-empty.png` });
    if (options.isMobile) {
      const more = page.getByRole("button", { name: "Tune" });
      assert.equal(await page.locator("#profiles").isVisible(), false, `${name}: the controls open on request`);
      await more.click();
      await page.locator("#profiles").waitFor();
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
      await page.screenshot({ path: `${out}${name}-tuning.png` });
      await more.click();
    }
    await page.getByRole("button", { name: "Ask me first" }).click();
    await page.locator(".question").waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    assert.equal(wide, false, `${name}: nothing is wider than the screen`);
    await page.screenshot({ path: `${out}${name}.png` });
    assert.deepEqual(complaints, []);
    await page.context().close();
  }
});
