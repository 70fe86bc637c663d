/** The panel of products: one is chosen and colours the map by one of its fields. */
import { byId, h, isPhone } from "./dom";
import { formatCount, formatUnit, unitBeside } from "./format";
import { label, t } from "./i18n";
import { state, subscribe, update } from "./state";
import type { Field, Product } from "./types";

/** Fields that can colour a map. */
export const numeric = (product: Product): Field[] => product.fields.filter((field) => !field.key && (field.kind === "float" || field.kind === "int"));

/** How devices are, for those who keep them running; nobody's first view of the city. */
const HEALTH = "device_health";

/** What a visitor without a wish sees: the product with the most sensors. */
const largest = (products: Product[]): Product | undefined => products.filter((p) => numeric(p).length > 0 && p.product !== HEALTH).reduce<Product | undefined>((best, p) => (best && best.entities >= p.entities ? best : p), undefined);

/** The product and field of the state, or those that stand in for them. */
export function chosen(products: Product[]): { product: Product; field: Field } | null {
  const { product: name, field: fieldName } = state();
  const product = products.find((p) => p.product === name) ?? largest(products);
  if (!product) return null;
  const fields = numeric(product);
  const field = fields.find((f) => f.name === fieldName) ?? fields.find((f) => f.name === product.headline) ?? fields[0];
  return field ? { product, field } : null;
}

export function choose(product: Product): void {
  const headline = numeric(product).find((f) => f.name === product.headline) ?? numeric(product)[0];
  if (headline) update({ product: product.product, field: headline.name });
}

export function drawProducts(products: Product[]): void {
  const box = byId("products");
  const legend = box.querySelector("legend");
  box.removeAttribute("aria-busy");
  box.replaceChildren(...(legend ? [legend] : []), ...(products.length > 0 ? products.map(row) : [h("p", { class: "panel-empty" }, t("no-products"))]));
  mark(products);
}

function row(product: Product): HTMLElement {
  const id = `product-${product.product}`;
  const input = h("input", { type: "radio", name: "product", id, value: product.product, "aria-describedby": `${id}-more`, onchange: () => choose(product) });
  const freshness = h("span", { class: `dot dot-${product.freshness}`, title: t(product.freshness) }, h("span", { class: "visually-hidden" }, t(product.freshness)));
  const count = product.entities === 1 ? t("sensor-one") : t("sensors", { n: formatCount(product.entities) });
  const headline = product.fields.find((f) => f.name === product.headline);
  return h("div", { class: "product", "data-product": product.product },
    h("div", { class: "product-row" }, input,
      h("label", { for: id }, h("span", { class: "product-name" }, label(product))),
      h("span", { class: "product-more", id: `${id}-more` }, freshness, h("span", { class: "product-count" }, count), headline?.unit && h("span", { class: "product-unit" }, formatUnit(headline.unit)))),
    h("div", { class: "product-fields", hidden: true }));
}

/** Opens the chosen product's row with its field selector. */
function mark(products: Product[]): void {
  const now = chosen(products);
  for (const element of byId("products").querySelectorAll<HTMLElement>(".product")) {
    const isChosen = element.dataset["product"] === now?.product.product;
    element.classList.toggle("is-chosen", isChosen);
    const input = element.querySelector("input");
    if (input) input.checked = isChosen;
    const fields = element.querySelector<HTMLElement>(".product-fields");
    if (!fields) continue;
    fields.hidden = !isChosen;
    if (isChosen && now) fields.replaceChildren(...fieldSelect(now.product, now.field));
    else fields.replaceChildren();
  }
}

function fieldSelect(product: Product, current: Field): Node[] {
  const fields = numeric(product);
  if (fields.length < 2) return [];
  const options = fields.map((f) => h("option", { value: f.name, selected: f === current }, unitBeside(label(f), f.unit) ? `${label(f)} · ${formatUnit(f.unit)}` : label(f)));
  const select = h("select", { id: "field", onchange: (event) => update({ field: (event.target as HTMLSelectElement).value }) }, ...options);
  return [h("label", { for: "field" }, t("field")), select];
}

export function followLayers(products: () => Product[]): void {
  subscribe((_, changed) => {
    const focused = document.activeElement?.id;
    if (changed.has("product") || changed.has("field")) mark(products());
    if (focused === "field") document.getElementById("field")?.focus();
  });
  const sheet = byId("layers");
  const open = byId("open-layers");
  const show = (visible: boolean): void => {
    sheet.classList.toggle("is-open", visible);
    open.setAttribute("aria-expanded", String(visible));
    if (visible) sheet.focus({ preventScroll: true });
    else if (isPhone()) open.focus();
  };
  open.addEventListener("click", () => show(!sheet.classList.contains("is-open")));
  byId("close-layers").addEventListener("click", () => show(false));
  sheet.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && sheet.classList.contains("is-open")) show(false);
  });
}
