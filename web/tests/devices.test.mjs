// The page of new devices and the register in a sensor's panel, as operators and citizens meet them. Needs a running server whose
// quarantine holds messages of an unknown device, and an admin: PORTICO_URL=… PORTICO_USER=admin PORTICO_PASSWORD=… npm test
// Whoever starts the server publishes first, for example: {"ts": 1709452001, "temp": 21.5, "umidita": 46} on campo/meteo/st-01.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { launch, open, tabTo, violations } from "./browser.mjs";

const user = process.env.PORTICO_USER ?? "";
const password = process.env.PORTICO_PASSWORD ?? "";
const needsAdmin = user === "" ? "PORTICO_USER is not set" : false;
let browser;

before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A page at `path`, signed in. */
async function as(path, size) {
  const opened = await open(browser, "/login", size);
  const status = await opened.page.evaluate(async (who) => (await fetch("/api/session", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(who) })).status, { user, password });
  assert.equal(status, 200, "the admin cannot sign in");
  await opened.page.goto(new URL(path, opened.page.url()).href);
  return opened;
}

const settled = (page) => page.waitForSelector("#groups[aria-busy=false]");

describe("new devices, for the public", () => {
  for (const address of ["/devices", "/en/devices"]) {
    it(`${address} says that a sign-in is needed, and nothing else`, async () => {
      const { context, page, seen } = await open(browser, address);
      await page.waitForSelector("#notice", { state: "visible" });
      assert.equal(await page.locator(".group").count(), 0);
      assert.deepEqual(await violations(page), []);
      assert.deepEqual(seen.errors, []);
      await context.close();
    });
  }
});

describe("new devices, for an operator", { skip: needsAdmin }, () => {
  it("accessibility: axe finds nothing, with every detail open, in both languages", async () => {
    for (const address of ["/devices", "/en/devices"]) {
      const { context, page, seen } = await as(address);
      await settled(page);
      await page.evaluate(() => document.querySelectorAll("details").forEach((d) => (d.open = true)));
      assert.deepEqual(await violations(page), []);
      assert.deepEqual(seen.errors, []);
      await context.close();
    }
  });

  it("nothing is cut off at 320 px", async () => {
    const { context, page } = await as("/devices", { width: 320, height: 640 });
    await settled(page);
    const { scroll, width } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth }));
    assert.ok(scroll <= width, `the page is ${scroll} px wide`);
    await context.close();
  });

  it("a wrong text is refused in words and nothing is lost; the right one is accepted and what waited is replayed, by keyboard", async () => {
    const { context, page } = await as("/en/devices");
    await settled(page);
    const group = page.locator(".group").filter({ has: page.locator(".is-mapping") }).first();
    assert.ok(await group.count(), "no suggestion waits: publish messages of an unknown device first");
    const id = await group.getAttribute("data-id");
    await group.locator("summary").first().click();
    const area = page.locator(`#mapping-${id}`);
    const text = await area.inputValue();
    await area.fill(text.replace("topic =", "tpic ="));
    await group.locator("button", { hasText: "Accept" }).click();
    await page.waitForFunction((g) => document.querySelector(`[data-id="${g}"] .form-error`)?.textContent?.includes("topic"), id);
    assert.equal(await area.inputValue(), text.replace("topic =", "tpic ="));
    await area.fill(text);
    await tabTo(page, `[data-id="${id}"] .group-actions .btn-primary`, 200);
    await page.keyboard.press("Enter");
    await page.waitForSelector(`[data-id="${id}"] .form-done`);
    assert.equal(await page.evaluate(() => document.activeElement?.className), "work-result", "the focus goes to what happened");
    await group.locator("button", { hasText: "Replay" }).click();
    await page.waitForFunction((g) => /messages replayed: [1-9]/.test(document.querySelector(`[data-id="${g}"] .form-done`)?.textContent ?? ""), id);
    await page.click("#reload");
    await settled(page);
    assert.equal(await page.locator(`[data-id="${id}"]`).count(), 0, "nothing of the group waits any more");
    await context.close();
  });

  it("says so when nothing waits", async () => {
    const { context, page } = await as("/devices");
    await page.route("**/api/quarantine/suggestions*", (route) => route.fulfill({ json: { hours: 72, waiting: 0, truncated: false, may_accept: true, suggestions: [] } }));
    await page.click("#reload");
    await page.waitForSelector(".work-empty");
    assert.deepEqual(await violations(page), []);
    await context.close();
  });

  it("tells when the server is gone, and recovers", async () => {
    const { context, page } = await as("/devices");
    await settled(page);
    await page.route("**/api/**", (route) => route.abort());
    await page.click("#reload");
    await page.waitForSelector("#notice", { state: "visible" });
    await page.unroute("**/api/**");
    await page.click("#retry");
    await page.waitForSelector("#notice", { state: "hidden" });
    await context.close();
  });
});

describe("what is this sensor?", () => {
  const first = async (page) => page.evaluate(async () => {
    const products = await (await fetch("/api/products")).json();
    const name = products.find((p) => p.entities > 0 && p.product !== "sensor_register").product;
    return (await (await fetch(`/api/twin/entities?product=${name}&limit=1`)).json()).features[0].id;
  });

  it("is answered for everybody, and has no form for the public", async () => {
    const { context, page } = await open(browser, "/404-on-purpose");
    const id = await first(page);
    await page.goto(new URL(`/en#entity=${encodeURIComponent(id)}`, page.url()).href);
    await page.waitForSelector(".register p");
    assert.match(await page.textContent("#register-title"), /What is this sensor/);
    assert.equal(await page.locator(".register button").count(), 0);
    assert.ok((await page.locator("[id^=product-]").count()) > 0);
    assert.equal(await page.locator("#product-sensor_register").count(), 0, "the register is no layer");
    await context.close();
  });

  it("an operator's entry is checked, saved and shown", { skip: needsAdmin }, async () => {
    const { context, page } = await as("/login");
    const id = await first(page);
    await page.goto(new URL(`/en#entity=${encodeURIComponent(id)}`, page.url()).href);
    await page.click(".register .text-button");
    await page.fill("#register-owner", "");
    await page.click(".register-form button[type=submit]");
    assert.ok(await page.isVisible(".register-form .form-error"));
    assert.equal(await page.getAttribute("#register-owner", "aria-invalid"), "true");
    assert.deepEqual(await violations(page), []);
    const purpose = `Counts free places (${Date.now()})`;
    for (const [name, text] of [["class", "Car park counter"], ["owner", "Comune di Bologna"], ["purpose_it", purpose], ["purpose_en", purpose], ["installed_on", "2023-05-01"], ["calibration_due", "2020-01-01"], ["calibrated_on", ""]]) {
      await page.fill(`#register-${name}`, text);
    }
    await page.selectOption("#register-personal_data", "false");
    await page.click(".register-form button[type=submit]");
    await page.waitForFunction(() => /before/.test(document.querySelector(".register-form .form-error")?.textContent ?? ""));
    await page.fill("#register-calibration_due", "2030-01-01");
    await page.click(".register-form button[type=submit]");
    await page.waitForSelector(".register .form-done");
    assert.equal(await page.textContent(".register-purpose"), purpose);
    assert.deepEqual(await violations(page), []);
    await context.close();
  });
});
