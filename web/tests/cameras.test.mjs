// The register of cameras in the page: needs a server whose register has an entry (PORTICO_CAMERAS=1).
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { drawn, launch, open, tabTo, violations } from "./browser.mjs";

describe("cameras", { skip: !process.env.PORTICO_CAMERAS }, () => {
  let browser;
  before(async () => (browser = await launch()));
  after(() => browser?.close());

  for (const [path, purpose, promise] of [["/", /Perché questa telecamera è qui\?/, /non legge né conserva immagini/], ["/en", /Why is this camera here\?/, /neither reads nor keeps images/]]) {
    it(`${path}: answers by keyboard why a camera is there`, async () => {
      const { context, page, seen } = await open(browser, path);
      await drawn(page);
      await page.waitForSelector("#cameras:not([hidden])");
      await tabTo(page, "#cameras summary");
      await page.keyboard.press("Enter");
      await tabTo(page, "#cameras li button");
      await page.keyboard.press("Enter");
      await page.waitForSelector(".camera-promise");
      const text = await page.textContent("#entity");
      for (const part of [purpose, promise, /DPIA-/, /GDPR/]) assert.match(text, part);
      assert.deepEqual(await violations(page), []);
      assert.deepEqual(seen, { errors: [], elsewhere: [] });
      await context.close();
    });
  }
});
