/** The map page: wires the store to its islands. Panels come first, the map (the heavy part) is loaded beside them. */
import { announce } from "./announce";
import { ApiError, cells, entities, iso, products as fetchProducts } from "./api";
import { followCameras } from "./cameras";
import { byId, debounce } from "./dom";
import { applyToEntity, attachEntity, forgetShown, positionOf, showEntity } from "./entity";
import { formatCount, formatValue } from "./format";
import { label, t } from "./i18n";
import { chosen, drawProducts, followLayers } from "./layers";
import { attachScaleButtons, drawLegend } from "./legend";
import { Live } from "./live";
import type { CityMap } from "./map";
import { colourOf, makeScale, rampOf, type Scale } from "./scale";
import { attachSearch } from "./search";
import { instant, state, subscribe, update, type State } from "./state";
import { attachStatus, hideFailure, showConnection, showFailure, showSimulated, showUpdate } from "./status";
import { applyToTable, closeTable, showTable } from "./table";
import { attachTimeline } from "./timeline";
import type { Cell, Change, Product } from "./types";

/** Resolution of the aggregates that scales are made from: cells of about 0.1 km². */
const SCALE_RESOLUTION = 9;
/** Hours back at which the scale looks at the city, spread over a day and night. */
const SCALE_HOURS = [5, 10, 15, 20];
/** Longer than this nobody waits for the past to colour the present. */
const SCALE_WAIT_MS = 900;
/** Between two full reloads that the event stream asks for. */
const CATCH_UP_MS = 10_000;
/** Up to here the whole product is followed live; above, only what the map shows. */
const FOLLOW_ALL_MAX = 20_000;
const REFRESH_MS = 15_000;
const PRODUCTS_MS = 60_000;
const CAMERAS_MS = 300_000;

let products: Product[] = [];
let map: CityMap | null = null;
let scale: Scale | null = null;
let aggregates: { of: string; cells: Cell[] } | null = null;
let scaleRequest = new AbortController();
let emptyRequest = new AbortController();
let changesSinceRefresh = 0;
let changesThisMinute = 0;

const live = new Live({ changes: applyChanges, state: showConnection, lagged: catchUp });
const context = { products: () => products, scale: () => scale };

async function start(): Promise<void> {
  attachStatus();
  attachScaleButtons();
  followLayers(context.products);
  attachSearch(context.products, (position, zoom) => map?.flyTo(position, zoom));
  attachTimeline((limitMs) => map?.settled(limitMs) ?? Promise.resolve());
  attachEntity();
  byId("open-table").addEventListener("click", () => update({ table: !state().table }));
  subscribe(follow);
  await loadProducts();
  const { makeMap } = await import("./map");
  map = await makeMap({ moved, failed: (status, detail) => showFailure(status, detail, () => void reload()), describe });
  const drawnMap = map;
  const loadCameras = followCameras((fields) => drawnMap.showCameras(fields));
  void loadCameras();
  setInterval(() => void loadCameras(), CAMERAS_MS);
  followLive();
  void paint();
  if (state().entity) void openEntity(false);
  if (state().table) drawTable(false);
  checkEmpty();
  setInterval(refreshCells, REFRESH_MS);
  setInterval(() => void loadProducts(), PRODUCTS_MS);
  setInterval(announceChanges, PRODUCTS_MS);
}

async function loadProducts(): Promise<void> {
  try {
    const found = await fetchProducts();
    const known = products.map((p) => p.product).join();
    products = found;
    if (known !== found.map((p) => p.product).join() || !document.activeElement?.closest("#products")) drawProducts(products);
    showSimulated(products);
    hideFailure();
    const now = chosen(products);
    if (now) update({ product: now.product.product, field: now.field.name });
  } catch (cause) {
    const { status, message } = cause instanceof ApiError ? cause : new ApiError(0, String(cause));
    showFailure(status, message, () => void reload());
  }
}

/** After a failure: everything again. */
async function reload(): Promise<void> {
  await loadProducts();
  map?.showTiles();
  await paint();
  followLive();
}

/** The city at a few instants of the last day; one that is not there (a new installation) or comes too late is left out. */
async function pastSample(product: string, field: string, signal: AbortSignal): Promise<Cell[]> {
  const at = SCALE_HOURS.map((hours) => cells(product, field, SCALE_RESOLUTION, iso(Date.now() - hours * 3_600_000), signal).catch(() => ({ cells: [] })));
  return (await Promise.all(at)).flatMap((one) => one.cells);
}

/** Colours product and field: at once by the city as it is, then by a whole day, so that colours mean the same at every instant of a playback. */
async function paint(): Promise<void> {
  const now = chosen(products);
  if (!map || !now) return;
  const [product, field] = [now.product.product, now.field.name];
  const of = `${product} ${field}`;
  if (aggregates?.of === of) return drawScale();
  scaleRequest.abort();
  scaleRequest = new AbortController();
  const { signal } = scaleRequest;
  try {
    const past = pastSample(product, field, signal);
    const present = (await cells(product, field, SCALE_RESOLUTION, null, signal)).cells;
    const show = (found: Cell[]): void => {
      if (signal.aborted) return;
      aggregates = { of, cells: found };
      drawScale();
    };
    const early = setTimeout(() => show(present), SCALE_WAIT_MS);
    const day = [...present, ...(await past)];
    clearTimeout(early);
    show(day);
  } catch (cause) {
    if (cause instanceof ApiError) showFailure(cause.status, cause.message, () => void reload());
  }
}

function drawScale(): void {
  const now = chosen(products);
  if (!map || !now || !aggregates) return;
  scale = makeScale(state().scale, aggregates.cells, rampOf(now.product, now.field));
  map.colour(scale, now.product.entities);
  drawLegend(now.product, now.field, scale, map.showsPoints());
  if (state().table) drawTable(false);
}

function describe(value: unknown): { text: string; colour: string } {
  const unit = chosen(products)?.field.unit ?? null;
  return { text: formatValue(typeof value === "number" ? value : null, unit), colour: colourOf(scale, value) };
}

function follow(_: Readonly<State>, changed: ReadonlySet<keyof State>): void {
  const has = (...keys: (keyof State)[]): boolean => keys.some((key) => changed.has(key));
  if (has("product", "field", "asOf", "knownAsOn")) map?.showTiles();
  if (has("product", "field", "scale")) void paint();
  if (has("product", "asOf", "knownAsOn")) followLive();
  if (has("product", "field")) announceLayer();
  if (has("entity")) forgetShown();
  if (has("entity", "asOf", "knownAsOn") && map) void openEntity(has("entity"));
  if (has("table", "product", "field", "asOf", "knownAsOn", "scale")) drawTable(has("table"));
  if (has("product", "field", "asOf", "knownAsOn")) checkEmpty();
}

function announceLayer(): void {
  const now = chosen(products);
  if (now) announce(t("announce-layer", { product: label(now.product), field: label(now.field) }));
}

function followLive(): void {
  const now = chosen(products);
  if (!map || !now) return;
  if (state().asOf !== null || state().knownAsOn !== null) return live.stop();
  live.open(now.product.product, now.product.entities > FOLLOW_ALL_MAX ? map.box() : null);
}

let caughtUpAt = -CATCH_UP_MS;

/** Changes were missed: the tiles are asked for again, but not again and again. */
function catchUp(): void {
  if (performance.now() - caughtUpAt < CATCH_UP_MS) return;
  caughtUpAt = performance.now();
  map?.showTiles();
}

function applyChanges(batch: Map<string, Change>): void {
  const now = chosen(products);
  if (!map || !now) return;
  changesSinceRefresh += batch.size;
  changesThisMinute += batch.size;
  showUpdate(Date.now());
  map.apply(batch.values(), now.field.name);
  applyToEntity(batch, now.product.fields);
  applyToTable(batch);
}

/** Cells are made by the server: they are asked again when something changed meanwhile. */
function refreshCells(): void {
  if (!map || map.showsPoints() || changesSinceRefresh === 0 || state().asOf !== null || document.hidden) return;
  changesSinceRefresh = 0;
  map.refresh();
}

function announceChanges(): void {
  if (changesThisMinute > 0 && state().table) announce(t("announce-changes", { n: formatCount(changesThisMinute) }));
  changesThisMinute = 0;
}

let showedPoints: boolean | null = null;

function moved(): void {
  const now = chosen(products);
  if (!map || !now) return;
  if (showedPoints !== map.showsPoints()) {
    showedPoints = map.showsPoints();
    drawLegend(now.product, now.field, scale, showedPoints);
  }
  afterMove();
}

const afterMove = debounce(() => {
  const now = chosen(products);
  if (now && now.product.entities > FOLLOW_ALL_MAX && state().asOf === null) followLive();
  if (state().table) drawTable(false);
  checkEmpty();
}, 500);

function drawTable(moveFocus: boolean): void {
  const open = byId("open-table");
  const wasOpen = open.getAttribute("aria-expanded") === "true";
  open.setAttribute("aria-expanded", String(state().table));
  byId("main").classList.toggle("has-table", state().table);
  const now = chosen(products);
  if (state().table && map && now) void showTable({ ...now, scale, box: map.box() }, moveFocus);
  else if (!state().table) {
    closeTable();
    if (wasOpen) open.focus();
  }
}

async function openEntity(moveFocus: boolean): Promise<void> {
  const found = await showEntity(context, moveFocus);
  if (state().entity === (found?.id ?? null)) map?.select(found ? positionOf(found) : null);
}

/** Says so when the area holds nothing of this layer. */
const checkEmpty = debounce(async () => {
  const now = chosen(products);
  const note = byId("empty-note");
  if (!map || !now) return;
  emptyRequest.abort();
  emptyRequest = new AbortController();
  try {
    const { features } = await entities(now.product.product, map.box(), instant(), 1, emptyRequest.signal);
    note.hidden = features.length > 0;
    note.textContent = features.length > 0 ? "" : t("empty-map");
  } catch {
    note.hidden = true;
  }
}, 400);

void start();
