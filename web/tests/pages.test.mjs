// The map page and the sign-in page as people meet them. Needs a running server with data: PORTICO_URL=http://127.0.0.1:8080 npm test
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { drawn, launch, open, tabTo, violations } from "./browser.mjs";

let browser;
let products;
let sensor;
const HOUR = 3_600_000;
const NEAR = "map=14.5/44.4965/11.3430";

const clean = ({ errors, elsewhere }) => {
  assert.deepEqual(errors, []);
  assert.deepEqual(elsewhere, []);
};

before(async () => {
  browser = await launch();
  const { context, page } = await open(browser, "/404-on-purpose");
  products = await page.evaluate(async () => (await fetch("/api/products")).json());
  const product = products.find((p) => p.entities > 0);
  assert.ok(product, "the server shows no product with entities");
  const found = await page.evaluate(async (name) => (await fetch(`/api/twin/entities?product=${name}&limit=1`)).json(), product.product);
  sensor = { product: product.product, id: found.features[0].id, name: found.features[0].properties.name, at: found.features[0].geometry.coordinates };
  await context.close();
});

after(() => browser?.close());

const close = () => `map=14.5/${sensor.at[1]}/${sensor.at[0]}&product=${sensor.product}`;

describe("accessibility: axe finds nothing", () => {
  const views = {
    "far": () => "/",
    "far, English": () => "/en",
    "near": () => `/#${NEAR}`,
    "sensor open": () => `/#${close()}&entity=${encodeURIComponent(sensor.id)}`,
    "past": () => `/#as_of=${new Date(Date.now() - 3 * HOUR).toISOString()}`,
    "table": () => `/#${close()}&table`,
    "continuous scale": () => "/#scale=linear",
  };
  for (const [name, address] of Object.entries(views)) {
    it(name, async () => {
      const { context, page, seen } = await open(browser, address());
      await drawn(page);
      if (name === "sensor open") await page.waitForSelector(".attributes");
      if (name === "table") await page.waitForSelector("table.data");
      if (name === "past") await page.click("#time-more");
      assert.deepEqual(await violations(page), []);
      clean(seen);
      await context.close();
    });
  }
  for (const [name, address] of [["sign in", "/login"], ["sign in, English", "/en/login"], ["not found", "/404-on-purpose"]]) {
    it(name, async () => {
      const { context, page, seen } = await open(browser, address);
      assert.deepEqual(await violations(page), []);
      clean(seen);
      await context.close();
    });
  }
});

describe("reflow: nothing is cut off at 320 px", () => {
  for (const address of ["/", "/en", `/#${NEAR}&table`, "/login", "/404-on-purpose"]) {
    it(address, async () => {
      const { context, page } = await open(browser, address, { width: 320, height: 640 });
      await page.waitForSelector("main");
      const { scroll, width } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth }));
      assert.ok(scroll <= width, `the page is ${scroll} px wide`);
      if (address === "/") {
        await drawn(page);
        await page.click("#open-layers");
        assert.deepEqual(await violations(page), []);
        const map = await page.locator("#map").boundingBox();
        assert.ok(map && map.height > 150, "the map keeps room on a small phone");
      }
      await context.close();
    });
  }
});

describe("the map page", () => {
  it("goes from the first key to a sensor's figures by keyboard alone", async () => {
    const { context, page, seen } = await open(browser, `/#${close()}`);
    await drawn(page);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("href")), "#layers");
    await tabTo(page, "#open-table");
    await page.keyboard.press("Enter");
    await page.waitForSelector("table.data tbody tr");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "table");
    await tabTo(page, "tbody .row-button");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".attributes");
    assert.equal(await page.evaluate(() => document.activeElement?.closest("aside")?.id ?? document.activeElement?.id), "entity");
    assert.match(page.url(), /entity=/);
    await page.keyboard.press("Escape");
    await page.waitForSelector("#entity", { state: "hidden" });
    assert.ok(await page.evaluate(() => document.activeElement?.matches("tbody .row-button")), "the focus goes back to the row");
    clean(seen);
    await context.close();
  });

  it("moves the whole map into the past and back", async () => {
    const { context, page } = await open(browser, "/");
    await drawn(page);
    const asked = page.waitForRequest((request) => /tiles\/.*as_of=/.test(request.url()));
    await tabTo(page, "#time-slider");
    await page.keyboard.press("ArrowLeft");
    await asked;
    assert.ok(await page.isVisible("#past-band"));
    await page.waitForFunction(() => location.hash.includes("as_of="));
    await page.click("#live");
    await page.waitForSelector("#past-band", { state: "hidden" });
    await page.waitForFunction(() => !location.hash.includes("as_of"));
    await context.close();
  });

  it("shows what it is asked for: product, field and table rows agree with the API", async () => {
    const { context, page } = await open(browser, `/#${close()}&table`);
    await page.waitForSelector("table.data tbody tr");
    const product = products.find((p) => p.product === sensor.product);
    assert.ok(await page.isChecked(`#product-${product.product}`));
    assert.match(await page.textContent("#table-title"), new RegExp(product.label.it.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")));
    assert.ok((await page.locator("tbody tr").count()) > 0);
    await page.click("#sort-name");
    const names = await page.locator("tbody .row-button").allTextContents();
    assert.deepEqual(names, [...names].sort((a, b) => a.localeCompare(b)));
    await context.close();
  });

  it("says so when the data are simulated", async () => {
    const { context, page } = await open(browser, "/");
    await drawn(page);
    assert.equal(await page.isVisible("#simulated"), products.some((p) => p.simulated));
    await context.close();
  });

  it("finds a municipality by name and flies there", async () => {
    const { context, page } = await open(browser, "/");
    await drawn(page);
    await page.fill("#search", "imola");
    await page.click("#search-results button:has-text('Imola')");
    await page.waitForFunction(() => /map=[\d.]+\/44\.3\d+\/11\.7/.test(location.hash));
    await context.close();
  });

  it("keeps the view when the language changes", async () => {
    const { context, page } = await open(browser, `/#${close()}`);
    await drawn(page);
    await page.waitForFunction(() => document.querySelector("#other-language")?.getAttribute("href")?.includes("#map="));
    await page.click("#other-language");
    await drawn(page);
    assert.equal(await page.getAttribute("html", "lang"), "en");
    assert.match(page.url(), /\/en#map=14\.5/);
    assert.ok(await page.isChecked(`#product-${sensor.product}`));
    await context.close();
  });

  it("tells when the server is gone, and recovers", async () => {
    const { context, page } = await open(browser, "/");
    await drawn(page);
    await page.route("**/api/**", (route) => route.abort());
    await page.evaluate(() => document.querySelector(".product:not(.is-chosen) input")?.click());
    await page.waitForSelector("#notice", { state: "visible" });
    assert.deepEqual(await violations(page), []);
    await page.unroute("**/api/**");
    await page.click("#retry");
    await page.waitForSelector("#notice", { state: "hidden" });
    await context.close();
  });
});

describe("signing in", () => {
  it("explains what is wrong in the page", async () => {
    const { context, page, seen } = await open(browser, "/en/login");
    await page.click("#login-submit");
    assert.match(await page.textContent("#login-error"), /user name and password/);
    await page.fill("#user", "nobody");
    await page.fill("#password", "wrong");
    await page.click("#login-submit");
    await page.waitForFunction(() => /Wrong/.test(document.querySelector("#login-error")?.textContent ?? ""));
    assert.equal(await page.evaluate(() => document.activeElement?.id), "password");
    assert.deepEqual(await violations(page), []);
    clean(seen);
    await context.close();
  });
});
