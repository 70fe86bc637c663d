// Builds web/dist: static pages (one template per page, one messages file per language) and hashed assets.
// Run `npm ci && node build.mjs`. Nothing here needs a network, and nothing built asks another host for anything.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";
import * as esbuild from "esbuild";
import { PurgeCSS } from "purgecss";
import * as sass from "sass";

const root = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(root, "dist");
// Everything is made here and takes the place of dist only when complete.
const made = path.join(root, `dist.${process.pid}.tmp`);
const assets = path.join(made, "assets");
const modules = path.join(root, "node_modules");
const LANGUAGES = ["it", "en"];
const PAGES = ["index", "login", "devices", "404"];
const FONTS = ["regular", "600", "700"];

const at = (...parts) => path.join(root, ...parts);
const readJson = async (file) => JSON.parse(await readFile(at(file), "utf8"));
const escapeHtml = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** Writes `bytes` under a name that carries their hash; returns the address. */
async function writeAsset(name, bytes) {
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 8).toUpperCase();
  const { name: stem, ext } = path.parse(name);
  const file = `${stem}-${hash}${ext}`;
  await writeFile(path.join(assets, file), bytes);
  return `/assets/${file}`;
}

async function copyStatic() {
  const fonts = {};
  for (const weight of FONTS) {
    const file = path.join(modules, `bootstrap-italia/dist/fonts/Titillium_Web/titillium-web-v10-latin-ext_latin-${weight}.woff2`);
    fonts[`font-${weight}`] = await writeAsset(`titillium-web-${weight}.woff2`, await readFile(file));
  }
  const basemap = await writeAsset("basemap.json", await readFile(at("src/basemap/bologna.json")));
  const favicon = await writeAsset("favicon.svg", await readFile(at("src/favicon.svg")));
  return { ...fonts, basemap, favicon };
}

/** Islands: `map` (the page), `login` and `devices`; maplibre and uPlot are split off and loaded when needed. The worker is a file of its own. */
async function buildScripts(files, city) {
  const common = { bundle: true, format: "esm", minify: true, target: "es2022", legalComments: "none", outdir: assets, metafile: true, logLevel: "warning" };
  const worker = await esbuild.build({
    ...common, entryPoints: { "map-worker": path.join(modules, "maplibre-gl/dist/maplibre-gl-worker.mjs") }, entryNames: "[name]-[hash]",
  });
  const workerFile = path.basename(Object.keys(worker.metafile.outputs)[0]);
  const islands = await esbuild.build({
    ...common, entryPoints: { map: at("src/main.ts"), login: at("src/login.ts"), devices: at("src/devices.ts") }, splitting: true, entryNames: "[name]-[hash]", chunkNames: "chunk-[hash]",
    define: { WORKER_URL: JSON.stringify(`/assets/${workerFile}`), BASEMAP_URL: JSON.stringify(files.basemap), CITY: JSON.stringify(city) },
  });
  const urls = {};
  for (const [file, output] of Object.entries(islands.metafile.outputs)) {
    if (output.entryPoint) urls[`${path.parse(output.entryPoint).name}.js`] = `/assets/${path.basename(file)}`;
  }
  return urls;
}

async function buildStyle(files) {
  const compiled = sass.compile(at("src/styles/portico.scss"), {
    style: "compressed", charset: false, quietDeps: true, loadPaths: [modules],
    silenceDeprecations: ["import", "global-builtin", "color-functions", "if-function", "slash-div", "mixed-decls", "abs-percent"], logger: sass.Logger.silent,
  });
  const sources = [...(await readdir(at("pages"))).map((f) => at("pages", f)), ...(await readdir(at("src"))).filter((f) => f.endsWith(".ts")).map((f) => at("src", f))];
  const raw = await Promise.all(sources.map(async (file) => ({ raw: await readFile(file, "utf8"), extension: "html" })));
  const [purged] = await new PurgeCSS().purge({
    content: raw, css: [{ raw: compiled.css }], safelist: { standard: [/^:/, "html", "body"], greedy: [/maplibregl/, /^u-/, /uplot/, /^dot-/, /is-/, /data-/] },
    variables: true, keyframes: true, fontFace: false,
  });
  const vendor = await Promise.all(["maplibre-gl/dist/maplibre-gl.css", "uplot/dist/uPlot.min.css"].map((f) => readFile(path.join(modules, f), "utf8")));
  const fontFace = FONTS.map((w) => `@font-face{font-family:"Titillium Web";font-style:normal;font-weight:${w === "regular" ? 400 : w};font-display:swap;src:url(${files[`font-${w}`]}) format("woff2")}`);
  // The map's labels name a font by family alone.
  const semiBold = `@font-face{font-family:"Titillium Web SemiBold";font-weight:600;font-display:swap;src:url(${files["font-600"]}) format("woff2")}`;
  const joined = [...fontFace, semiBold, ...vendor, purged.css].join("\n");
  const { code } = await esbuild.transform(joined, { loader: "css", minify: true, legalComments: "none" });
  return writeAsset("portico.css", code);
}

/** `{{key}}` message, `{{icon:name}}` inline drawing, `{{asset:name}}` address, `{{city:key}}` setting, `{{> part}}` another template. Unknown names stop the build. */
function render(template, { parts, messages, icons, files, city, lang, page }) {
  const links = { it: { map: "/", login: "/login", devices: "/devices" }, en: { map: "/en", login: "/en/login", devices: "/en/devices" } };
  const other = lang === "it" ? "en" : "it";
  const own = {
    lang, other, home: links[lang].map, login: links[lang].login, "devices-page": links[lang].devices, "other-page": links[other][page] ?? links[other].map,
  };
  const expand = (text) => text.replace(/\{\{(> ?|[a-z]+:)?([\w.-]+)\}\}/g, (all, kind, name) => {
    const found = kind?.startsWith(">") ? parts[name]
      : kind === "icon:" ? icons[name] && `<svg class="icon-line" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="${icons[name]}"/></svg>`
      : kind === "asset:" ? files[name]
      : kind === "city:" ? escapeHtml(city[name]?.[lang] ?? city[name] ?? "")
      : own[name] ?? (messages[name] === undefined ? undefined : escapeHtml(messages[name]));
    if (!found) throw new Error(`pages/${page}.html (${lang}): ${all} is not known`);
    return kind?.startsWith(">") ? expand(found) : found;
  });
  return expand(template).replace(/^\s+/gm, "");
}

async function buildPages(files, city) {
  const icons = await readJson("src/icons.json");
  const parts = {};
  for (const file of (await readdir(at("pages"))).filter((f) => f.startsWith("_"))) parts[path.parse(file).name.slice(1)] = await readFile(at("pages", file), "utf8");
  for (const lang of LANGUAGES) {
    const { page: messages } = await readJson(`src/messages/${lang}.json`);
    for (const page of PAGES) {
      const template = await readFile(at(`pages/${page}.html`), "utf8");
      await writeFile(path.join(made, `${page}.${lang}.html`), render(template, { parts, messages, icons, files, city, lang, page }));
    }
  }
}

/** What others made, with their terms, as those ask. */
async function writeLicences() {
  const texts = ["bootstrap-italia", "maplibre-gl", "uplot"].map(async (name) => {
    const file = (await readdir(path.join(modules, name))).find((f) => /^licen[cs]e/i.test(f));
    return `\n\n== ${name} ==\n\n${await readFile(path.join(modules, name, file), "utf8")}`;
  });
  await writeFile(path.join(assets, "licences.txt"), [await readFile(at("LICENSES.txt"), "utf8"), ...(await Promise.all(texts))].join(""));
}

/** Both languages must say the same things. */
async function checkMessages() {
  const [it, en] = await Promise.all(LANGUAGES.map((lang) => readJson(`src/messages/${lang}.json`)));
  for (const section of ["page", "app"]) {
    const missing = [...new Set([...Object.keys(it[section]), ...Object.keys(en[section])])].filter((key) => !it[section][key] || !en[section][key]);
    if (missing.length > 0) throw new Error(`messages: ${section}: not in both languages: ${missing.join(", ")}`);
  }
}

/** Beside each text file its Brotli form, which the server sends to those who take it. */
async function compress() {
  const files = (await readdir(made, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile() && /\.(html|js|css|json|svg|txt)$/.test(entry.name));
  await Promise.all(files.map(async (entry) => {
    const file = path.join(entry.parentPath, entry.name);
    const text = await readFile(file);
    await writeFile(`${file}.br`, await promisify(brotliCompress)(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: text.length } }));
  }));
}

await checkMessages();
try {
  await mkdir(assets, { recursive: true });
  const city = await readJson("src/city.json");
  const statics = await copyStatic();
  const [scripts, style] = await Promise.all([buildScripts(statics, city), buildStyle(statics)]);
  await buildPages({ ...statics, ...scripts, style }, city);
  await writeLicences();
  await compress();
  await rm(dist, { recursive: true, force: true });
  await rename(made, dist);
} finally {
  await rm(made, { recursive: true, force: true });
}
