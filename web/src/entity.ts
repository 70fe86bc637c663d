/** The panel of one sensor: its value now or then, everything it says, its series and where the data come from. */
import { ApiError, entity as fetchEntity, REGISTER_OF_CAMERAS } from "./api";
import { cameraBody } from "./cameras";
import { byId, h, icon } from "./dom";
import { nameOf } from "./fields-of-view";
import { formatAge, formatInstant, formatPart, formatQuality, formatValue } from "./format";
import { label, t } from "./i18n";
import { registerBlock } from "./register";
import { colourOf, type Scale } from "./scale";
import { drawSeries } from "./series";
import { instant, state, update } from "./state";
import type { Attribute, Change, Entity, Field, Product } from "./types";

const panel = byId("entity");
let request = new AbortController();
let seriesRequest = new AbortController();
let days = 1;
/** The attribute on the chart; null: the map's own field. */
let shown: string | null = null;
let opener: HTMLElement | null = null;

export interface EntityContext {
  products(): Product[];
  scale(): Scale | null;
}

/** Draws the state's entity and returns it, or closes the panel. */
export async function showEntity(context: EntityContext, moveFocus: boolean): Promise<Entity | null> {
  request.abort();
  seriesRequest.abort();
  const { entity: id } = state();
  if (id === null) {
    close();
    return null;
  }
  request = new AbortController();
  if (panel.hidden) opener = document.activeElement instanceof HTMLElement ? document.activeElement : null;
  panel.hidden = false;
  byId("view").classList.add("has-entity");
  if (panel.dataset["id"] !== id) panel.replaceChildren(head(t("loading")), h("div", { class: "skeleton skeleton-tall" }));
  panel.dataset["id"] = id;
  if (moveFocus) panel.focus({ preventScroll: true });
  try {
    const found = await fetchEntity(id, instant(), request.signal);
    draw(context, found);
    return found;
  } catch (cause) {
    if (request.signal.aborted) return null;
    const missing = cause instanceof ApiError && cause.status === 404;
    panel.replaceChildren(head(id), h("p", { class: "panel-empty" }, t(missing ? "entity-missing" : "error-title")));
    return null;
  }
}

export function positionOf(found: Entity): [number, number] | null {
  if (found.geometry) return found.geometry.coordinates;
  return typeof found.lon === "number" && typeof found.lat === "number" ? [found.lon, found.lat] : null;
}

function close(): void {
  if (panel.hidden) return;
  panel.hidden = true;
  delete panel.dataset["id"];
  described = null;
  panel.replaceChildren();
  byId("view").classList.remove("has-entity");
  // A row of the table may have been drawn anew meanwhile, under the same id.
  const back = opener?.isConnected ? opener : document.getElementById(opener?.id || "-");
  if (back && back !== document.body) back.focus();
  else if (!byId("table").hidden) byId("table").focus({ preventScroll: true });
  else document.querySelector<HTMLElement>(".maplibregl-canvas")?.focus();
}

export function attachEntity(): void {
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && state().entity !== null) update({ entity: null });
  });
}

function head(title: string, product?: string): HTMLElement {
  return h("div", { class: "panel-head" },
    h("div", {}, product && h("p", { class: "eyebrow" }, product), h("h2", { id: "entity-title" }, title)),
    h("button", { type: "button", class: "icon-button", onclick: () => update({ entity: null }) }, h("span", { class: "visually-hidden" }, t("close")), icon("close")));
}

function draw(context: EntityContext, found: Entity): void {
  if (found.product === REGISTER_OF_CAMERAS) {
    panel.replaceChildren(head(nameOf(found.id), t("camera-eyebrow")), h("div", { class: "entity-body" }, ...cameraBody(found), provenance(found, undefined)));
    return;
  }
  const product = context.products().find((p) => p.product === found.product);
  const fields = product?.fields ?? [];
  const isCurrent = product?.product === state().product;
  const numbers = found.attributes.filter((a) => typeof a.value === "number");
  const main = numbers.find((a) => keyOf(a) === shown) ?? numbers.find((a) => isCurrent && a.name === state().field) ?? numbers.find((a) => a.name === product?.headline) ?? numbers[0];
  const field = fields.find((f) => f.name === main?.name);
  const scale = isCurrent && main?.name === state().field ? context.scale() : null;
  const scrolled = panel.querySelector(".entity-body")?.scrollTop ?? 0;
  const body = h("div", { class: "entity-body" }, ...[
    found.simulated && h("p", { class: "sim-badge" }, t("simulated-entity")),
    main && figure(main, field, found, scale),
    main && field && h("section", { class: "series", "aria-label": t("series") }, ranges(found, main, field), h("p", { class: "reading", "data-reading": true, "aria-hidden": "true" }), h("div", { class: "series-box" })),
    attributes(context, found, fields, main),
    description(found),
    provenance(found, product),
  ].filter((node) => node instanceof Node));
  panel.replaceChildren(head(found.name || found.id, product ? label(product) : found.product), body);
  body.scrollTop = scrolled;
  if (main && field) loadSeries(found, main, field);
}

let described: { id: string; block: HTMLElement } | null = null;
let registerRequest = new AbortController();

/** The register's block is kept while the panel is drawn anew for the same sensor: a form must not lose what was typed. */
function description(found: Entity): HTMLElement {
  if (described?.id !== found.id) {
    registerRequest.abort();
    registerRequest = new AbortController();
    described = { id: found.id, block: registerBlock(found, registerRequest.signal) };
  }
  return described.block;
}

/** Tells apart the attributes of one name that belong to different rows. */
const keyOf = (attribute: Attribute): string => [attribute.name, ...keyPairs(attribute)].join(" ");

const keyPairs = (attribute: Attribute): string[] => Object.entries(attribute.key ?? {}).map(([name, value]) => `${name}:${String(value)}`);

function figure(main: Attribute, field: Field | undefined, found: Entity, scale: Scale | null): HTMLElement {
  const swatch = h("span", { class: "swatch swatch-tall", "aria-hidden": "true" });
  swatch.style.backgroundColor = scale ? colourOf(scale, main.value) : "#c5d0d9";
  const at = Date.parse(main.observed_at);
  return h("div", { class: "figure" }, swatch, h("div", {},
    h("p", { class: "figure-label" }, field ? label(field) : main.name),
    h("p", { class: "figure-value", id: "figure-value", "data-field": Object.keys(main.key ?? {}).length > 0 ? null : main.name }, formatValue(main.value, main.unit ?? field?.unit)),
    h("p", { class: "figure-age" }, h("span", { class: `dot dot-${found.freshness}`, "aria-hidden": "true" }), `${t(found.freshness)} · ${formatAge(at, state().asOf ?? Date.now())}`)));
}

function ranges(found: Entity, main: Attribute, field: Field): HTMLElement {
  const buttons = ([[1, "range-1"], [7, "range-7"], [30, "range-30"]] as const).map(([n, key]) =>
    h("button", { type: "button", "aria-pressed": String(n === days), onclick: (event) => {
      days = n;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === event.currentTarget));
      loadSeries(found, main, field);
    } }, t(key)));
  return h("div", { class: "segmented", role: "group", "aria-label": t("series-range") }, ...buttons);
}

function loadSeries(found: Entity, main: Attribute, field: Field): void {
  seriesRequest.abort();
  seriesRequest = new AbortController();
  const { signal } = seriesRequest;
  const box = panel.querySelector<HTMLElement>(".series-box");
  if (!box) return;
  drawSeries(box, { id: found.id, product: found.product, name: found.name, field, key: keyPairs(main), days, until: state().asOf ?? Date.now(), signal }).catch(() => {
    if (!signal.aborted) box.replaceChildren(h("p", { class: "panel-empty" }, t("error-title")));
  });
}

/** Every attribute; the numeric ones are buttons that put their series on the chart. */
function attributes(context: EntityContext, found: Entity, fields: Field[], main: Attribute | undefined): HTMLElement {
  const rows = found.attributes.map((attribute) => {
    const field = fields.find((f) => f.name === attribute.name);
    const isRepeated = found.attributes.filter((other) => other.name === attribute.name).length > 1;
    const key = isRepeated ? Object.values(attribute.key ?? {}).map((part) => formatPart(part)).join(", ") : "";
    const name = (field ? label(field) : attribute.name) + (key ? ` (${key})` : "");
    const pick = (): void => {
      shown = keyOf(attribute);
      draw(context, found);
      panel.querySelector<HTMLElement>(`[data-attribute="${CSS.escape(shown)}"]`)?.focus();
    };
    const isNumber = typeof attribute.value === "number";
    return h("tr", { class: attribute === main ? "is-shown" : null },
      h("th", { scope: "row" }, isNumber ? h("button", { type: "button", class: "row-button", "data-attribute": keyOf(attribute), "aria-pressed": String(attribute === main), onclick: pick }, name) : name),
      h("td", {}, formatValue(attribute.value, attribute.unit ?? field?.unit)));
  });
  return h("section", { class: "block" }, h("h3", {}, t("attributes")), h("table", { class: "attributes" }, h("tbody", {}, ...rows)));
}

function provenance(found: Entity, product: Product | undefined): HTMLElement {
  const item = (key: string, value: string | Node): HTMLElement => h("div", {}, h("dt", {}, key), h("dd", {}, value));
  const copied = h("button", { type: "button", class: "text-button", onclick: () => void copy(found.id, copied) }, icon("copy"), t("copy"));
  return h("section", { class: "block" }, h("h3", {}, t("details")), h("dl", { class: "facts" },
    item(t("observed"), formatInstant(Date.parse(found.observed_at))),
    item(t("received"), formatInstant(Date.parse(found.received_at))),
    item(t("quality"), formatQuality(found.quality)),
    item(t("source"), found.source),
    product?.owner ? item(t("owner"), product.owner) : "",
    product?.licence ? item(t("licence"), product.licence) : "",
    h("div", { class: "fact-wide" }, h("dt", {}, t("identifier")), h("dd", {}, h("code", {}, found.id), copied))));
}

async function copy(text: string, button: HTMLElement): Promise<void> {
  await navigator.clipboard.writeText(text).catch(() => undefined);
  button.replaceChildren(icon("copy"), t("copied"));
}

/** A live change of the shown entity: only the big figure moves, the rest is drawn anew when opened. */
export function applyToEntity(changes: ReadonlyMap<string, Change>, fields: Field[]): void {
  const change = changes.get(panel.dataset["id"] ?? "");
  const figureValue = document.getElementById("figure-value");
  const name = figureValue?.dataset["field"] ?? "";
  const value = change?.values[name];
  if (figureValue && typeof value === "number") figureValue.textContent = formatValue(value, fields.find((f) => f.name === name)?.unit);
}

/** Another entity starts from the map's field again. */
export function forgetShown(): void {
  shown = null;
}
