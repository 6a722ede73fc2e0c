// The demo page in headless Chromium: talking to the agent, and the panel of the server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { grown, idle, lastText, out, pages, recordGrowth, speaking, write } from "./lib/browser.mjs";
import { serve } from "./lib/program.mjs";

const site = pages();

test("an answer streams into the page", async () => {
  const page = await site.open();
  await recordGrowth(page);
  const words = 'Why does <img src=x onerror="alert(1)"> stay text?';
  await write(page, words);
  await speaking(page);
  assert.equal(await page.locator("#stop").isVisible(), true);
  await idle(page);

  assert.ok((await grown(page)) > 40, "the text grows word by word");
  const text = await lastText(page);
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
});

for (const [button, outcome, said] of [
  ["Approve", "Approved", /^Done: a table for 4/],
  ["Decline", "Declined", /nothing is booked/],
]) {
  test(`the person answers a question with ${button}`, async () => {
    const page = await site.open();
    await page.getByRole("button", { name: "Ask me first" }).click();
    const question = page.locator(".question");
    await question.waitFor();
    assert.match(await question.textContent(), /Book the table for 4 on Thursday/);
    assert.equal(await page.locator("#plan-steps li[aria-current=step]").textContent(), "Ask you first, active");
    await page.mouse.move(0, 0); // no hover in the picture
    if (button === "Approve") await page.screenshot({ path: `${out}demo.png` });
    await question.getByRole("button", { name: button }).click();
    await question.getByText(outcome, { exact: true }).waitFor();
    await idle(page);
    assert.match(await lastText(page), said);
    assert.equal(await page.locator(".tool-name", { hasText: "book_table" }).count(), button === "Approve" ? 1 : 0);
    assert.equal(await question.getByRole("button").count(), 0);
  });
}

test("a question left open gives way to other words", async () => {
  const page = await site.open();
  await page.getByRole("button", { name: "Ask me first" }).click();
  await page.locator(".question").waitFor();
  await write(page, "Something else");
  await page.getByText("Left unanswered").waitFor();
  await page.locator("#log").getByText("“Something else”").waitFor();
});

test("the figures of the server, and what a profile changes, are numbers beside the buttons", async () => {
  const own = await serve("demo"); // the other tests keep theirs as it is
  try {
    const page = await site.open({}, own.http);
    const watcher = await page.context().newPage();
    await watcher.goto(own.http);
    await page.bringToFront();
    const button = (name) => page.getByRole("table", { name: "Profile" }).getByRole("button", { name });
    const shows = (where, figures) =>
      where.waitForFunction((all) => Object.entries(all).every(([id, text]) => document.getElementById(id).textContent === text), figures);
    const atLeast = (id, n) =>
      page.waitForFunction(([id, n]) => Number(document.getElementById(id).textContent.replace(",", "")) >= n, [id, n]);
    const windows = { balanced: "10 in 5 ms", latency: "none", throughput: "64 in 10 ms", memory: "10 in 5 ms" };
    const queues = { balanced: "256 KiB", latency: "256 KiB", throughput: "256 KiB", memory: "32 KiB" };

    await shows(page, { "stat-window": windows.balanced, "stat-queue": queues.balanced, "stat-batch-bytes": "16 KiB", "stat-buffers": "1,000" });
    assert.equal(await button("Balanced").getAttribute("aria-pressed"), "true");
    await atLeast("stat-connections", 1);
    assert.match(await page.locator("#stat-memory").textContent(), /^(normal|moderate|elevated|high|critical), .*%$/);
    assert.match(await page.locator("#decision").textContent(), /^none yet.*off until you switch it on/);

    for (const name of ["Throughput", "Memory", "Latency"]) {
      const profile = name.toLowerCase();
      await button(name).click();
      await shows(page, { "stat-window": windows[profile], "stat-queue": queues[profile], spoken: `Profile ${profile}` });
      assert.equal(await page.locator("#profiles [aria-pressed=true]").textContent(), name);
    }
    await shows(watcher, { "stat-window": "none" });
    assert.equal((await (await fetch(`${own.http}/stats`)).json()).profile, "latency");

    // One burst under each of two profiles: each row has what was measured.
    await page.getByRole("button", { name: "Show a burst" }).click();
    await atLeast("stat-events", 20);
    await atLeast("latency-writes", 20);
    await atLeast("stat-viewers", 1);
    assert.match(await page.locator("#stat-logs").textContent(), /^[\d.]+ [KM]iB$/);
    await button("Throughput").click();
    await atLeast("throughput-batch", 1.5); // several events leave in one write
    assert.ok(Number(await page.locator("#latency-writes").textContent()) > Number(await page.locator("#throughput-writes").textContent()));
    await page.screenshot({ path: `${out}profiles.png` });

    const adaptive = page.getByRole("switch", { name: "Adaptive optimization" });
    for (const on of [true, false]) {
      await adaptive.focus();
      await page.keyboard.press("Space");
      await page.locator(`#adaptive[aria-checked=${on}]`).waitFor();
      assert.equal((await (await fetch(`${own.http}/stats`)).json()).adaptive, on);
    }
    await page.context().close();
  } finally {
    await own.stop();
  }
});

test("a page of another origin cannot tune the server", async () => {
  const other = await serve("demo");
  try {
    const page = await site.open({ bypassCSP: true }, other.http); // its own policy would not even let it ask
    const url = `${site.demo.http}/profile`;
    const [answer] = await Promise.all([
      page.waitForResponse(url),
      page.evaluate((url) => fetch(url, { method: "POST", mode: "no-cors", body: new URLSearchParams({ profile: "memory" }) }), url),
    ]);
    assert.equal(answer.status(), 403);
    assert.equal((await (await fetch(`${site.demo.http}/stats`)).json()).profile, "balanced");
    page.context().complaints.length = 0; // the browser's own line for the 403
    await page.context().close();
  } finally {
    await other.stop();
  }
});
