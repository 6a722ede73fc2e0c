// The demo page: one thread over reloads, devices and connections.
import assert from "node:assert/strict";
import { test } from "node:test";
import jsQR from "jsqr";
import { busy, connected, grown, idle, lastText, pages, phone, recordGrowth, speaking, told, write } from "./lib/browser.mjs";
import { serve } from "./lib/program.mjs";
import { relay } from "./lib/wire.mjs";

const site = pages();

// scanned is what a camera reads in the share panel of a page.
async function scanned(page) {
  await page.getByRole("button", { name: "Share", exact: true }).click();
  const code = page.locator("#share-code svg");
  const size = Number((await code.getAttribute("viewBox")).split(" ")[2]);
  const scale = 4;
  const pixels = new Uint8ClampedArray((size * scale) ** 2 * 4).fill(255);
  for (const [, x, y] of (await code.locator("path").getAttribute("d")).matchAll(/M(\d+) (\d+)h1v1h-1z/g)) {
    for (let i = 0; i < scale ** 2; i++) {
      const at = (y * scale + Math.floor(i / scale)) * size * scale + x * scale + (i % scale);
      pixels.fill(0, at * 4, at * 4 + 3);
    }
  }
  return jsQR(pixels, size * scale, size * scale).data;
}

// same waits until two pages show the same conversation, and returns it. Who has answered a question is
// what each knows for itself.
async function same(one, other) {
  const own = "Approved$|Answered on another screen$";
  const log = (await told(one)).map((t) => t.replace(new RegExp(own), ""));
  await other.waitForFunction(
    ([want, source]) => JSON.stringify(Array.from(document.getElementById("log").children, (el) => el.textContent.replace(new RegExp(source), ""))) === want,
    [JSON.stringify(log), own],
  );
  return log;
}

test("a reload in the middle of an answer goes on where it was, and the conversation is whole", async () => {
  const page = await site.open();
  await write(page, "First");
  await speaking(page);
  await write(page, "that is enough");
  await page.locator("#log").getByText("I leave the rest out").waitFor();
  await idle(page);
  const before = await told(page);
  await write(page, "A second one");
  await page.locator("#log").getByText(/You wrote “A second one/).waitFor();
  const middle = await told(page);
  await page.reload();
  await recordGrowth(page);
  await busy(page);
  await speaking(page);
  assert.deepEqual((await told(page)).slice(0, before.length), before, "what was said before is there, in its place and once");
  assert.ok((await lastText(page)).startsWith(middle.at(-1)), "the answer has what it had");
  await idle(page);
  assert.ok((await grown(page)) > 5, "the answer goes on word by word");
  assert.equal((await told(page)).length, middle.length, "nothing is there twice");
  assert.match(await lastText(page), /A second one.*patches keep up to date\.$/s);
  assert.equal(await page.locator("#plan-count").textContent(), "3 of 3");

  const whole = await told(page);
  await page.reload();
  await connected(page);
  assert.deepEqual(await told(page), whole, "so has a thread in which nothing goes on");
});

test("a link opens the thread on a phone; both see every word, and either may approve, steer and stop", async () => {
  const page = await site.open();
  await write(page, "Book a table for four on Thursday, but ask me first.");
  await speaking(page);
  const shared = await scanned(page);
  assert.equal(shared, await page.getByRole("textbox", { name: "Link" }).inputValue());
  assert.match(new URL(shared).hash, /^#thread=thread-\w+&secret=[\w-]+/);
  assert.ok(await page.locator("#share-local").isVisible(), "a phone cannot reach localhost, and the panel says so");
  const hand = await site.open(phone, shared);
  assert.equal(new URL(hand.url()).hash, "", "the secret has left the address bar");
  await recordGrowth(hand);

  await hand.locator(".question").getByRole("button", { name: "Approve" }).tap();
  await page.locator("#log").getByText("Answered on another screen").waitFor();
  await page.locator("#log").getByText(/^Done: a table for 4/).waitFor();
  await hand.locator("#log").getByText(/^Done: a table for 4/).waitFor();
  await idle(page);
  await idle(hand);
  await same(page, hand);

  // The phone steers what the desktop has begun, and the desktop steers back.
  await write(page, "Tell me more");
  await speaking(hand);
  await write(hand, "louder please");
  await page.locator("#log").getByText("You said “louder please” while I was speaking").waitFor();
  await write(page, "short please");
  await hand.locator("#log").getByText("You said “short please”, so I leave the rest out.").waitFor();
  await idle(page);
  const log = await same(page, hand);
  assert.deepEqual(log.slice(-5).filter((t) => /please$/.test(t)), ["louder please", "short please"]);

  // The phone stops a run of the desktop's.
  await write(page, "Go on and on");
  await speaking(hand);
  await hand.getByRole("button", { name: "Stop" }).tap();
  for (const each of [page, hand]) {
    await each.locator("#log").getByText("The agent was stopped.").waitFor();
    await each.locator("#plan-count", { hasText: "Stopped at 2 of 3" }).waitFor({ state: "attached" });
    assert.equal(await each.locator(".streaming").count(), 0);
  }
  assert.equal(await page.locator("#plan-steps [data-status=stopped]").textContent(), "Write the answer, stopped");
  while ((await (await fetch(`${site.demo.http}/stats`)).json()).runs > 0);
  await same(page, hand);
});

test("what somebody says before a run has begun steers it, and behind its last word begins the next one", async () => {
  const page = await site.open();
  await write(page, "Hello");
  await write(page, "Hurry up");
  await page.locator("#log").getByText("You said “Hurry up” while I was speaking").waitFor();
  // It is sent while the page still takes the run for one that goes on.
  await page.evaluate(() => {
    const log = document.getElementById("log");
    new MutationObserver((_, observer) => {
      if (!/I leave the rest out\.$/.test(log.lastElementChild?.textContent)) return;
      observer.disconnect();
      document.getElementById("words").value = "And now this";
      document.getElementById("form").requestSubmit();
    }).observe(log, { subtree: true, childList: true, characterData: true });
  });
  await write(page, "enough");
  await page.locator("#log").getByText(/You wrote “And now this”/).waitFor();
  assert.equal(await page.locator(".said-user", { hasText: "And now this" }).count(), 1);
  await page.getByRole("button", { name: "Stop" }).click();
  await page.locator("#log").getByText("The agent was stopped.").waitFor();
});

test("a cut network is shown, and the answer goes on without a gap", async () => {
  const page = await site.open();
  await recordGrowth(page);
  const words = "What goes on while nobody listens?";
  await write(page, words);
  await speaking(page);
  const frames = page.getByRole("button", { name: "Events" });
  await frames.click();
  await page.getByRole("button", { name: "Cut the network" }).click();
  const banner = page.locator("#lost");
  await banner.getByText("Connection lost.").waitFor();
  await banner.getByText(/Next try in \d s\./).waitFor();
  const had = (await lastText(page)).length;
  await connected(page);
  await page.waitForFunction((n) => document.querySelector(".said-agent:last-child").textContent.length > n + 40, had);
  assert.equal(await banner.isVisible(), false);
  await idle(page);
  assert.ok((await grown(page)) > 2);
  const text = await lastText(page);
  assert.ok(text.startsWith(`You wrote “${words}”`) && text.endsWith("patches keep up to date."), text);
  assert.doesNotMatch(text, /(\b\w+\b[ ,.]+){3}\1/, "no word came twice");

  // The pane has each offset once, in order.
  await page.getByLabel("Kind").selectOption("event");
  const places = await page.locator("#raw-list .raw-place").allTextContents();
  let next = 1;
  for (const place of places) {
    const [from, to = from] = place.split("–").map(Number);
    assert.equal(from, next, `${place} behind ${next - 1}`);
    next = to + 1;
  }
  assert.ok(places.length > 60 && places.length <= 300);
});

test("a connection that a proxy cuts is no end of an answer", async (t) => {
  const between = await relay(site.demo.host);
  t.after(() => between.close());
  const page = await site.open({}, between.http);
  await recordGrowth(page);
  await write(page, "Cut me off");
  await speaking(page);
  between.cut();
  await page.locator("#log").getByText(/patches keep up to date\.$/).waitFor();
  await idle(page);
  assert.ok((await grown(page)) > 2);
  assert.equal(await page.locator(".notice").count(), 0);
  page.context().complaints = page.context().complaints.filter((c) => !/ERR_(EMPTY_RESPONSE|CONNECTION_RESET)/.test(c)); // figures that were on their way
});

test("a server that is gone is said, with the time to the next try and a retry button, and without a flood of errors", async () => {
  const first = await serve("demo");
  const page = await site.open({}, first.http);
  const context = page.context();
  await write(page, "This takes a while");
  await speaking(page);
  await first.kill();
  const banner = page.locator("#lost");
  await banner.getByText(/Next try in \d+ s\./).waitFor();
  assert.equal(await page.locator("#link-text").textContent(), "Connection lost");
  const attempt = () => page.waitForEvent("websocket");
  const tried = attempt();
  await banner.getByRole("button", { name: "Retry now" }).click();
  await tried;
  await page.waitForFunction(() => /Next try in ([3-9]|\d\d) s/.test(document.getElementById("lost-next").textContent), undefined, { timeout: 30_000 });
  const failures = context.refused;
  assert.ok(failures >= 2 && failures < 24, `${failures} refused connections`); // each attempt asks over HTTP as well

  const second = await serve("demo", "--addr", first.host);
  try {
    // It may have come back by itself while the server was started: then the button is hidden.
    await banner.locator("button").evaluate((button) => button.click());
    await connected(page);
    await page.locator("#log").getByText("The server that made this answer is gone").waitFor();
    await idle(page);
    assert.equal(await page.locator(".streaming").count(), 0);
    await write(page, "Still there?");
    await page.locator("#log").getByText(/You wrote “Still there\?”/).waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator("#log").getByText("The agent was stopped.").waitFor();
    const whole = await told(page);
    await page.reload();
    await connected(page);
    assert.deepEqual(await told(page), whole, "a reload has kept what this server never had");
    // The one request for figures that was on its way.
    context.complaints = context.complaints.filter((c, i) => i > 0 || !/Failed to load resource: net::ERR_/.test(c));
    await context.close();
  } finally {
    await second.stop();
  }
});
