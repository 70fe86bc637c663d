// Drags and zooms the map of PORTICO_URL and prints, as one JSON line, how long its frames took.
import { drawn, launch, open } from "../../web/tests/browser.mjs";

const browser = await launch();
const out = {};
// The empty layer is what the browser needs for the base map alone.
for (const [name, zoom, product] of [["empty far", 11, "weather"], ["full far", 11, "noise"], ["empty near", 14.5, "weather"], ["full near", 14.5, "noise"]]) {
  const { context, page } = await open(browser, `/#map=${zoom}/44.4949/11.3426&product=${product}`);
  const start = Date.now();
  await drawn(page);
  const ready = Date.now() - start;
  const cdp = await context.newCDPSession(page);
  await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
  const busy = async () => Object.fromEntries((await cdp.send("Performance.getMetrics")).metrics.map((m) => [m.name, m.value])).TaskDuration;
  const before = await busy();
  await page.evaluate(() => {
    globalThis.frames = [];
    let last = performance.now();
    const step = (now) => { globalThis.frames.push(now - last); last = now; requestAnimationFrame(step); };
    requestAnimationFrame(step);
  });
  await page.mouse.move(640, 400);
  await page.mouse.down();
  for (let i = 0; i < 240; i++) {
    await page.mouse.move(640 + Math.round(250 * Math.sin(i / 20)), 400 + Math.round(150 * Math.cos(i / 15)));
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
  }
  await page.mouse.up();
  const spent = (await busy()) - before;
  const frames = (await page.evaluate(() => globalThis.frames)).sort((a, b) => a - b);
  const at = (share) => Math.round(frames[Math.floor(frames.length * share)] * 10) / 10;
  out[name] = { ready_ms: ready, frames: frames.length, main_thread_ms: Math.round((spent / frames.length) * 10_000) / 10, p50_ms: at(0.5), p95_ms: at(0.95), max_ms: at(0.9999) };
  if (process.env.SHOT) await page.screenshot({ path: `${process.env.SHOT}-${name.replace(" ", "-")}.png` });
  await context.close();
}
await browser.close();
console.log(JSON.stringify(out));
