/** The legend: what the colours mean, in the unit of the field, with the limits of the classes. */
import { byId, h } from "./dom";
import { formatNumber, unitBeside } from "./format";
import { label, t } from "./i18n";
import type { Scale } from "./scale";
import { state, subscribe, update, type ScaleKind } from "./state";
import type { Field, Product } from "./types";

export function drawLegend(product: Product, field: Field, scale: Scale | null, showsPoints: boolean): void {
  const title = label(field) === label(product) ? label(product) : label(field);
  byId("legend-title").textContent = title;
  byId("legend-unit").textContent = unitBeside(title, field.unit);
  byId("legend-note").textContent = scale ? t(showsPoints ? "legend-points" : "legend-cells") : t("legend-empty");
  byId("legend-marks").hidden = !showsPoints;
  byId("legend-scale").replaceChildren(...(scale ? (scale.kind === "linear" ? gradient(scale) : classes(scale)) : []));
}

function classes(scale: Scale): Node[] {
  const { colours, stops } = scale;
  const band = h("ol", { class: "classes" }, ...colours.map((colour, i) => {
    const item = h("li", {}, h("span", { class: "visually-hidden" }, range(stops[i - 1], stops[i])));
    item.style.backgroundColor = colour;
    return item;
  }));
  const limits = h("div", { class: "limits", "aria-hidden": "true" }, ...stops.map((stop, i) => at((i + 1) / colours.length, formatNumber(stop))));
  return [band, limits];
}

function range(low: number | undefined, high: number | undefined): string {
  if (low === undefined) return high === undefined ? "" : t("below", { a: formatNumber(high) });
  return high === undefined ? t("above", { a: formatNumber(low) }) : t("between", { a: formatNumber(low), b: formatNumber(high) });
}

function gradient(scale: Scale): Node[] {
  const bar = h("div", { class: "gradient", role: "img", "aria-label": range(scale.stops[0], scale.stops.at(-1)) });
  bar.style.backgroundImage = `linear-gradient(90deg, ${scale.colours.join(", ")})`;
  const last = scale.stops.length - 1;
  const limits = scale.stops.flatMap((stop, i) => (i === 0 || i === last || i % 2 === 0 ? [at(i / last, formatNumber(stop))] : []));
  return [bar, h("div", { class: "limits limits-wide", "aria-hidden": "true" }, ...limits)];
}

function at(share: number, text: string): HTMLElement {
  const mark = h("span", {}, text);
  mark.style.left = `${share * 100}%`;
  return mark;
}

export function attachScaleButtons(): void {
  const buttons = [...byId("legend").querySelectorAll<HTMLButtonElement>("[data-scale]")];
  const mark = (): void => buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset["scale"] === state().scale)));
  buttons.forEach((b) => b.addEventListener("click", () => update({ scale: b.dataset["scale"] as ScaleKind })));
  subscribe((_, changed) => changed.has("scale") && mark());
  mark();
}
