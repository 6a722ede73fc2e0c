// The demo page as it looks: screenshots at two sizes, light and dark, go to out/.
import assert from "node:assert/strict";
import { test } from "node:test";
import { desktop, idle, out, pages, phone, speaking, write } from "./lib/browser.mjs";

const site = pages();

// judge fails where something is wider than the screen, or too small for a finger.
async function judge(page, name) {
  const { wide, small } = await page.evaluate((width) => ({
    wide: document.documentElement.scrollWidth > width, // innerWidth grows with what is too wide
    small: Array.from(document.querySelectorAll("button, input, select, textarea, summary"))
      .filter((el) => el.checkVisibility())
      .map((el) => [el.id || el.textContent, el.getBoundingClientRect()])
      .filter(([, box]) => box.height < 44 || box.width < 44)
      .map(([label, box]) => `${label}: ${box.width} by ${box.height}`),
  }), page.viewportSize().width);
  assert.equal(wide, false, `${name}: nothing is wider than the screen`);
  return small;
}

for (const [name, options] of [["desktop", desktop], ["phone", phone]]) {
  test(`the page on a ${name}`, async () => {
    const page = await site.open(options);
    const shoot = async (what) => {
      const small = await judge(page, what);
      if (options.isMobile) assert.deepEqual(small, [], `${what}: what a finger can hit`);
      for (const colorScheme of ["dark", "light"]) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: `${out}${name}-${colorScheme}-${what}.png` });
      }
    };
    const panel = async (button) => {
      const control = page.getByRole("button", { name: button, exact: true });
      if ((await control.getAttribute("aria-expanded")) === "false") await control.click();
    };
    await page.locator("#stat-events", { hasText: /\d/ }).waitFor({ state: "attached" });
    await page.mouse.move(0, 0);
    await shoot("empty");

    await page.getByRole("button", { name: "Ask me first" }).click();
    await page.locator(".question").waitFor();
    if (options.isMobile) {
      const [top, talk] = await Promise.all([page.locator(".top").boundingBox(), page.locator(".talk").boundingBox()]);
      assert.ok(top.height <= 56, "the header is one row");
      assert.ok(talk.height > 0.6 * options.viewport.height, `the conversation has ${talk.height} px`);
    }
    await shoot("question");

    await write(page, "Tell me something");
    await speaking(page);
    await write(page, "And be quick");
    await page.locator(".said-agent", { hasText: "while I was speaking" }).waitFor();
    await shoot("steered");
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("The agent was stopped.").waitFor();
    await idle(page);
    if (options.isMobile) await page.locator("#plan summary").click();
    await shoot("stopped");
    if (options.isMobile) await page.locator("#plan summary").click();

    await panel("Server");
    await shoot("server");
    await page.getByRole("button", { name: "Cut the network" }).click();
    await page.locator("#lost-next", { hasText: /Next try/ }).waitFor();
    await panel("Events");
    await shoot("lost");
    await page.locator("#link[data-state=open]").waitFor();
    await page.reload(); // what comes again is folded where it is long
    await page.locator("#link[data-state=open]").waitFor();
    await panel("Events");
    await page.locator(".raw-frame[data-kind=event]").last().waitFor();
    await shoot("events");
    const fold = page.locator(".raw-frame[data-fold=true]").first();
    assert.match(await fold.locator(".raw-place").textContent(), /^\d+–\d+$/);
    assert.match(await fold.locator(".raw-text").textContent(), /^fold of \d+ "/);
    const all = await page.locator(".raw-frame").count();
    await page.getByLabel("Filter").fill("state_");
    await page.waitForFunction((n) => document.querySelectorAll(".raw-frame").length < n, all);
    assert.ok((await page.locator(".raw-name").allTextContents()).every((text) => text.startsWith("STATE_")));
    await page.getByLabel("Kind").selectOption({ label: "Selectors, control" });
    await page.getByLabel("Filter").fill("");
    await page.locator(".raw-name", { hasText: /^run$/ }).first().waitFor();
    assert.ok(!(await page.locator("#raw").textContent()).includes(await page.evaluate(() => JSON.parse(sessionStorage.getItem("agloop-demo")).secret)));
    await panel("Share");
    await page.locator("#share-code svg").waitFor();
    await shoot("share");
  });
}
