/** The chart of one field of one entity, with the same figures as a table and as CSV. uPlot is loaded when first needed. */
import { history } from "./api";
import { h, icon } from "./dom";
import { formatClock, formatDayShort, formatInstant, formatNumber, formatUnit, formatValue } from "./format";
import { label, t } from "./i18n";
import type { Field, History } from "./types";

const DAY = 86_400_000;
const POINTS_MAX = 600;
const CSV_POINTS_MAX = 10_000;
const TABLE_ROWS_MAX = 200;

export interface SeriesRequest {
  id: string;
  product: string;
  name: string;
  field: Field;
  /** `name:value` of each key field, where the entity has several rows of one instant. */
  key: readonly string[];
  days: number;
  /** Right end, epoch ms. */
  until: number;
  signal: AbortSignal;
}

/** Fills `box`; a second call with another request replaces what is there. */
export async function drawSeries(box: HTMLElement, request: SeriesRequest): Promise<void> {
  const { field, days, until, signal } = request;
  box.setAttribute("aria-busy", "true");
  const from = until - days * DAY;
  const [{ default: UPlot }, series] = await Promise.all([import("uplot"), fetchSeries(request, from, POINTS_MAX)]);
  if (signal.aborted) return;
  box.removeAttribute("aria-busy");
  const figures = series.points.map(([, value]) => value).filter((value) => value !== null);
  if (figures.length === 0) return box.replaceChildren(h("p", { class: "panel-empty" }, t("series-empty")));
  const chart = h("div", { class: "chart", role: "img", "aria-label": describe(field, series, figures, from, until) });
  box.replaceChildren(chart, summary(figures, field), foot(request, series, from));
  new UPlot(options(chart.clientWidth, from, until, field), columns(series), chart);
}

function fetchSeries({ id, product, field, key, until, signal }: SeriesRequest, from: number, pointsMax: number): Promise<History> {
  return history({ id, product, field: field.name, key, from, to: until, pointsMax }, signal);
}

function describe(field: Field, series: History, figures: number[], from: number, until: number): string {
  const unit = (value: number | undefined): string => formatValue(value, field.unit);
  return t("series-label", {
    field: label(field), from: formatInstant(from), to: formatInstant(until), min: unit(Math.min(...figures)), max: unit(Math.max(...figures)), last: unit(series.points.at(-1)?.[1] ?? undefined),
  });
}

/** uPlot's columns: seconds and values. A gap of several steps breaks the line instead of being drawn over. */
function columns(series: History): [number[], (number | null)[]] {
  const times: number[] = [];
  const values: (number | null)[] = [];
  const gaps = series.points.slice(1).map(([at], i) => at - (series.points[i]?.[0] ?? at)).sort((a, b) => a - b);
  const usual = gaps[Math.floor(gaps.length / 2)] ?? Infinity;
  let last: number | undefined;
  for (const [at, value] of series.points) {
    if (last !== undefined && at - last > usual * 3.5) {
      times.push((last + at) / 2000);
      values.push(null);
    }
    times.push(at / 1000);
    values.push(value);
    last = at;
  }
  return [times, values];
}

function options(width: number, from: number, until: number, field: Field): import("uplot").Options {
  const days = (until - from) / DAY;
  const font = "12px 'Titillium Web', sans-serif";
  const axis = { font, stroke: "#455b71", ticks: { stroke: "#c5d0d9", size: 4 }, grid: { stroke: "#e8edf1", width: 1 } };
  const reader = document.querySelector<HTMLElement>("[data-reading]");
  return {
    width, height: 168, legend: { show: false }, padding: [8, 6, 0, 0], cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
    scales: { x: { min: from / 1000, max: until / 1000 }, y: { range: (_, low, high) => span(low, high) } },
    axes: [
      { ...axis, space: days > 1 ? 70 : 54, incrs: days > 1 ? [DAY / 1000, (2 * DAY) / 1000, (5 * DAY) / 1000, (10 * DAY) / 1000] : [3 * 3600, 6 * 3600], values: (_, at) => at.map((s) => (days > 1 ? formatDayShort(s * 1000).replace(/^\S+ /, "") : formatClock(s * 1000))), grid: { show: false }, size: 30 },
      { ...axis, size: 46, space: 34, values: (_, at) => at.map((value) => formatNumber(value)) },
    ],
    series: [{}, { stroke: "#0059b3", width: 1.6, fill: "rgba(0,102,204,0.1)", points: { show: false } }],
    hooks: {
      setCursor: [(plot) => {
        const at = plot.cursor.idx;
        const value = at === null || at === undefined ? undefined : plot.data[1]?.[at];
        if (reader) reader.textContent = value === undefined || value === null || at === null || at === undefined ? "" : `${formatInstant((plot.data[0][at] ?? 0) * 1000)} · ${formatValue(value, field.unit)}`;
      }],
    },
  };
}

/** Room above and below; zero stays the floor when figures come near it. */
function span(low: number | null, high: number | null): [number, number] {
  const bottom = low ?? 0;
  const top = high ?? 1;
  const room = Math.max((top - bottom) * 0.12, Math.abs(top) * 0.02, 0.5);
  const floor = bottom >= 0 && bottom < (top - bottom) * 0.6 ? 0 : bottom - room;
  return [floor, top + room];
}

function summary(figures: number[], field: Field): HTMLElement {
  const mean = figures.reduce((sum, value) => sum + value, 0) / figures.length;
  const item = (key: "series-min" | "series-mean" | "series-max", value: number): HTMLElement => h("div", {}, h("dt", {}, t(key)), h("dd", {}, formatValue(value, field.unit)));
  return h("dl", { class: "summary" }, item("series-min", Math.min(...figures)), item("series-mean", mean), item("series-max", Math.max(...figures)));
}

function foot(request: SeriesRequest, series: History, from: number): HTMLElement {
  const details = h("details", { class: "series-table" }, h("summary", {}, t("series-table")));
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(table(request.field, series)));
  const download = h("button", { type: "button", class: "text-button", onclick: () => void saveCsv(request, from) }, icon("download"), t("csv"));
  return h("div", { class: "series-foot" }, download, series.downsampled && h("span", { class: "help" }, t("downsampled")), details);
}

/** The newest figures first, evenly thinned when there are very many. */
function table(field: Field, series: History): HTMLElement {
  const every = Math.max(1, Math.ceil(series.points.length / TABLE_ROWS_MAX));
  const rows = series.points.filter((_, i) => (series.points.length - 1 - i) % every === 0).reverse();
  return h("div", { class: "scroll-box", tabindex: "0", role: "group", "aria-label": label(field) }, h("table", { class: "figures" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("time")), h("th", { scope: "col" }, `${label(field)} ${formatUnit(field.unit)}`))),
    h("tbody", {}, ...rows.map(([at, value]) => h("tr", {}, h("th", { scope: "row" }, formatInstant(at)), h("td", {}, value === null ? t("none") : formatNumber(value)))))));
}

/** Fetches the series as fine as the server gives it and saves it as CSV (UTC instants, point as decimal mark). */
async function saveCsv(request: SeriesRequest, from: number): Promise<void> {
  const { id, name, field } = request;
  const { points } = await fetchSeries(request, from, CSV_POINTS_MAX);
  const unit = field.unit ? ` (${field.unit})` : "";
  const lines = [`id,observed_at,${quote(field.name + unit)}`, ...points.map(([at, value]) => `${quote(id)},${new Date(at).toISOString()},${value ?? ""}`)];
  const url = URL.createObjectURL(new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
  h("a", { href: url, download: `${name.replace(/[^\p{L}\p{N}]+/gu, "-")}-${field.name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`;
