// Opens the pages of the server at PORTICO_URL in the system's Chromium.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const BASE = (process.env.PORTICO_URL ?? "http://127.0.0.1:8080").replace(/\/$/, "");
const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "EN-301-549", "best-practice"];

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader"],
});

/** A page at `path`, and what went wrong in it: script errors, and requests to any other host. */
export async function open(browser, path, { width = 1280, height = 800 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, reducedMotion: "reduce" });
  const page = await context.newPage();
  const seen = { errors: [], elsewhere: [] };
  page.on("pageerror", (error) => seen.errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && /Content Security Policy|Uncaught/.test(message.text())) seen.errors.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && url.origin !== new URL(BASE).origin) seen.elsewhere.push(request.url());
  });
  await page.goto(BASE + path);
  return { context, page, seen };
}

/** Waits until the map has drawn everything it asked for. */
export const drawn = (page) => page.waitForFunction(() => document.documentElement.hasAttribute("data-map-ready"), null, { timeout: 30_000 });

/** Names the violations of WCAG 2.2 AA, EN 301 549 and axe's best practice; empty when there are none. */
export async function violations(page) {
  await page.evaluate(axeSource);
  const found = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: tags }), TAGS);
  return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target.join(" ")}: ${n.failureSummary?.split("\n")[1]?.trim()}`));
}

/** Presses Tab until `selector` has the focus; says how many presses it took. */
export async function tabTo(page, selector, limit = 80) {
  for (let presses = 0; presses <= limit; presses++) {
    if (await page.evaluate((s) => document.activeElement?.matches(s) ?? false, selector)) return presses;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not reach ${selector} within ${limit} tabs`);
}
