/** The same data as the map, as a table: same layer, same area, same instant; sortable, paged, for keyboards and screen readers too. */
import { entities } from "./api";
import { byId, h, icon } from "./dom";
import { formatCount, formatQuality, formatShort, formatUnit, formatValue } from "./format";
import { label, t } from "./i18n";
import { colourOf, type Scale } from "./scale";
import { instant, update } from "./state";
import type { Box, Change, EntityFeature, Field, Product } from "./types";

const ROWS_MAX = 5000;
const PAGE_SIZE = 25;

type Column = "name" | "value" | "freshness" | "time" | "quality";
const COLUMNS: Column[] = ["name", "value", "time", "freshness", "quality"];
const FRESHNESS_ORDER = { fresh: 0, due: 1, overdue: 2 } as const;

export interface TableView {
  product: Product;
  field: Field;
  scale: Scale | null;
  box: Box;
}

const dock = byId("table");
let request = new AbortController();
let rows: EntityFeature[] = [];
let more = false;
let view: TableView | null = null;
let sort: { column: Column; down: boolean } = { column: "value", down: true };
let page = 0;

export function closeTable(): void {
  request.abort();
  dock.hidden = true;
  dock.replaceChildren();
  rows = [];
}

/** Opens or renews the table for `wanted`. */
export async function showTable(wanted: TableView, moveFocus: boolean): Promise<void> {
  request.abort();
  request = new AbortController();
  const { signal } = request;
  if (view?.product !== wanted.product || view.field !== wanted.field) page = 0;
  view = wanted;
  if (dock.hidden) {
    dock.hidden = false;
    dock.replaceChildren(head(), h("p", { class: "panel-empty" }, t("loading")));
  }
  if (moveFocus) dock.focus({ preventScroll: true });
  try {
    const found = await entities(wanted.product.product, wanted.box, instant(), ROWS_MAX, signal);
    rows = found.features;
    more = found.more;
    draw();
  } catch {
    if (!signal.aborted) dock.replaceChildren(head(), h("p", { class: "panel-empty", role: "alert" }, t("error-title")));
  }
}

function head(): HTMLElement {
  return h("div", { class: "panel-head" },
    h("h2", { id: "table-title" }, view ? t("table-title", { product: label(view.product) }) : ""),
    h("button", { type: "button", class: "icon-button", id: "close-table", onclick: () => update({ table: false }) }, h("span", { class: "visually-hidden" }, t("close-table")), icon("close")));
}

function key(feature: EntityFeature, column: Column): string | number {
  const p = feature.properties;
  if (column === "value") {
    const value = view ? p.values[view.field.name] : null;
    return typeof value === "number" ? value : -Infinity;
  }
  if (column === "time") return Date.parse(p.observed_at);
  return column === "freshness" ? FRESHNESS_ORDER[p.freshness] : p[column];
}

function sorted(): EntityFeature[] {
  const sign = sort.down ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [key(a, sort.column), key(b, sort.column)];
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
  });
}

function draw(): void {
  if (!view) return;
  const focused = document.activeElement?.id;
  const pages = Math.max(1, Math.ceil(rows.length / PAGE_SIZE));
  page = Math.min(page, pages - 1);
  const shown = sorted().slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
  const n = formatCount(rows.length);
  dock.replaceChildren(head(),
    h("p", { class: "table-count", role: "status" }, more ? t("table-limited", { n }) : rows.length === 1 ? t("sensor-one") : t("table-count", { n })),
    rows.length === 0 ? h("p", { class: "panel-empty" }, t("table-empty")) : grid(shown),
    pages > 1 ? pager(pages) : "");
  if (focused && dock.querySelector(`#${CSS.escape(focused)}`)) byId(focused).focus();
}

function grid(shown: EntityFeature[]): HTMLElement {
  return h("div", { class: "scroll-box", tabindex: "0", role: "group", "aria-labelledby": "table-title" }, h("table", { class: "table data" },
    h("thead", {}, h("tr", {}, ...COLUMNS.map(header))),
    h("tbody", {}, ...shown.map(row))));
}

function columnName(column: Column): string {
  if (column !== "value" || !view) return t(column as Exclude<Column, "value">);
  const unit = formatUnit(view.field.unit);
  return unit ? `${label(view.field)} (${unit})` : label(view.field);
}

function header(column: Column): HTMLElement {
  const isSorted = sort.column === column;
  const name = columnName(column);
  return h("th", { scope: "col", class: `col-${column}`, "aria-sort": isSorted ? (sort.down ? "descending" : "ascending") : "none" },
    h("button", { type: "button", id: `sort-${column}`, class: "sort", title: t("sort-by", { name }), onclick: () => {
      sort = { column, down: isSorted ? !sort.down : column === "value" || column === "time" };
      page = 0;
      draw();
    } }, name, h("span", { class: "sort-mark", "aria-hidden": "true" }, isSorted ? (sort.down ? "↓" : "↑") : "")));
}

function row(feature: EntityFeature): HTMLElement {
  const p = feature.properties;
  const value = view ? p.values[view.field.name] : null;
  return h("tr", { "data-id": feature.id },
    h("th", { scope: "row" }, h("button", { type: "button", class: "row-button", id: `row-${feature.id}`, onclick: () => update({ entity: feature.id }) }, p.name || feature.id)),
    h("td", { class: "col-value" }, valueCell(value)),
    h("td", {}, formatShort(Date.parse(p.observed_at))),
    h("td", {}, h("span", { class: "state" }, h("span", { class: `dot dot-${p.freshness}`, "aria-hidden": "true" }), t(p.freshness))),
    h("td", { class: "col-quality" }, formatQuality(p.quality)));
}

function valueCell(value: unknown): HTMLElement {
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.backgroundColor = colourOf(view?.scale ?? null, value);
  return h("span", { class: "value-cell" }, swatch, h("span", { "data-figure": true }, formatValue(value as number | null, null)));
}

function pager(pages: number): HTMLElement {
  const to = (target: number): (() => void) => () => {
    page = target;
    draw();
    dock.querySelector(".scroll-box")?.scrollTo(0, 0);
  };
  return h("div", { class: "pager" },
    h("button", { type: "button", id: "page-previous", disabled: page === 0, onclick: to(page - 1) }, t("previous")),
    h("p", { "aria-live": "polite" }, t("page-of", { page: page + 1, pages })),
    h("button", { type: "button", id: "page-next", disabled: page >= pages - 1, onclick: to(page + 1) }, t("next")));
}

/** Live changes move the figures in place; order and focus stay until the person sorts again. */
export function applyToTable(changes: ReadonlyMap<string, Change>): void {
  if (dock.hidden || !view) return;
  for (const feature of rows) {
    const change = changes.get(feature.id);
    if (change) feature.properties = { ...feature.properties, observed_at: change.observed_at, freshness: "fresh", values: { ...feature.properties.values, ...change.values } };
  }
  for (const element of dock.querySelectorAll<HTMLElement>("tr[data-id]")) {
    const value = changes.get(element.dataset["id"] ?? "")?.values[view.field.name];
    if (typeof value === "number") element.querySelector(".value-cell")?.replaceWith(valueCell(value));
  }
}
