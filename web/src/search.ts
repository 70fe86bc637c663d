/** One search over layers, municipalities and the sensors of the chosen layer. */
import { entities } from "./api";
import { byId, debounce, h } from "./dom";
import { label, t } from "./i18n";
import { choose } from "./layers";
import { instant, state, update } from "./state";
import type { Product } from "./types";

const SENSORS_MAX = 5000;
const SHOWN_MAX = 6;

interface Hit {
  name: string;
  go(): void;
}

interface Place {
  name: string;
  position: [number, number];
}

const plain = (text: string): string => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

let places: Promise<Place[]> | undefined;
let sensors: { product: string; hits: Promise<Hit[]> } | undefined;

async function loadPlaces(): Promise<Place[]> {
  interface Label { properties: { kind: string; name: string }; geometry: { coordinates: [number, number] } }
  const { features } = (await (await fetch(BASEMAP_URL)).json()) as { features: Label[] };
  return features.filter((f) => f.properties.kind === "label").map((f) => ({ name: f.properties.name, position: f.geometry.coordinates }));
}

async function loadSensors(product: string, flyTo: FlyTo): Promise<Hit[]> {
  const { features } = await entities(product, null, instant(), SENSORS_MAX, new AbortController().signal);
  return features.map((f) => ({
    name: f.properties.name,
    go: () => {
      if (f.geometry) flyTo(f.geometry.coordinates, 15.5);
      update({ entity: f.id });
    },
  }));
}

type FlyTo = (position: [number, number], zoom: number) => void;

export function attachSearch(products: () => Product[], flyTo: FlyTo): void {
  const input = byId<HTMLInputElement>("search");
  const box = byId("search-results");
  const close = (): void => {
    input.value = "";
    show(box, null);
  };
  const run = debounce(async () => {
    const wanted = plain(input.value.trim());
    if (wanted === "") return show(box, null);
    const match = (hits: Hit[]): Hit[] => hits.filter((hit) => plain(hit.name).includes(wanted)).slice(0, SHOWN_MAX);
    const layers = products().map((p) => ({ name: label(p), go: () => choose(p) }));
    const towns = (await (places ??= loadPlaces())).map((p) => ({ name: p.name, go: () => flyTo(p.position, 12.5) }));
    const own = await ownSensors(flyTo);
    if (plain(input.value.trim()) !== wanted) return;
    show(box, [[t("group-layers"), match(layers)], [t("group-places"), match(towns)], [t("group-sensors"), match(own)]], close);
  }, 180);
  input.addEventListener("input", run);
  const escape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || input.value === "") return;
    event.stopPropagation();
    close();
    input.focus();
  };
  input.addEventListener("keydown", escape);
  box.addEventListener("keydown", escape);
}

/** Sensors of the chosen product, asked once; a failure leaves the other groups. */
async function ownSensors(flyTo: FlyTo): Promise<Hit[]> {
  const { product } = state();
  if (!product) return [];
  if (sensors?.product !== product) sensors = { product, hits: loadSensors(product, flyTo) };
  try {
    return await sensors.hits;
  } catch {
    sensors = undefined;
    return [];
  }
}

function show(box: HTMLElement, groups: [string, Hit[]][] | null, close?: () => void): void {
  box.hidden = groups === null;
  byId("products").hidden = groups !== null;
  const found = (groups ?? []).filter(([, hits]) => hits.length > 0);
  const total = found.reduce((sum, [, hits]) => sum + hits.length, 0);
  byId("search-count").textContent = groups === null ? "" : total === 0 ? t("search-none") : t("search-count", { n: total });
  const lists = found.map(([title, hits], i) => h("div", { class: "result-group" },
    h("h3", { id: `results-${i}` }, title),
    h("ul", { "aria-labelledby": `results-${i}` }, ...hits.map((hit) => h("li", {}, h("button", { type: "button", onclick: () => {
      close?.();
      hit.go();
    } }, hit.name))))));
  box.replaceChildren(...(groups !== null && total === 0 ? [h("p", { class: "panel-empty" }, t("search-none"))] : lists));
}
