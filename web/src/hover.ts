/** What the pointer is over: a small card; a click selects a sensor or opens a cell. The table gives the same to those without a pointer. */
import type { Map as MapView, MapGeoJSONFeature, MapMouseEvent } from "maplibre-gl";
import { byId, h } from "./dom";
import { formatCount } from "./format";
import { t } from "./i18n";
import { POINTS, POINTS_ZOOM, SOURCE } from "./paint";
import { update } from "./state";

type Describe = (value: unknown) => { text: string; colour: string };

export function attachHover(map: MapView, describe: Describe): void {
  const card = byId("hover-card");
  map.on("mousemove", (event) => {
    const found = featureAt(map, event);
    map.getCanvas().style.cursor = found ? "pointer" : "";
    card.hidden = !found;
    if (!found) return;
    card.replaceChildren(...content(map, found, describe));
    place(card, event.point.x, event.point.y);
  });
  map.on("mouseout", () => (card.hidden = true));
  map.on("movestart", () => (card.hidden = true));
  map.on("click", (event) => {
    const found = featureAt(map, event);
    if (found?.layer.id === "points") update({ entity: String(found.properties["id"]) });
    else if (found?.layer.id === "camera-fields") update({ entity: String(found.properties["id"]) });
    else if (found) map.easeTo({ center: event.lngLat, zoom: Math.min(POINTS_ZOOM + 0.2, map.getZoom() + 2) });
  });
}

function featureAt(map: MapView, event: MapMouseEvent): MapGeoJSONFeature | undefined {
  const { x, y } = event.point;
  const reach = map.getZoom() >= POINTS_ZOOM ? 4 : 0;
  return map.queryRenderedFeatures([[x - reach, y - reach], [x + reach, y + reach]], { layers: ["points", "camera-fields", "cells"] })[0];
}

function content(map: MapView, feature: MapGeoJSONFeature, describe: Describe): Node[] {
  const { properties } = feature;
  if (feature.layer.id === "cells") {
    const { text, colour } = describe(properties["mean"]);
    const n = Number(properties["n"]);
    return [swatch(colour), h("strong", {}, t("cell-mean", { value: text })), h("span", {}, n === 1 ? t("sensor-one") : t("sensors", { n: formatCount(n) }))];
  }
  if (feature.layer.id === "camera-fields") return [swatch("#8a2f8f"), h("strong", {}, String(properties["name"] ?? "")), h("span", {}, t("camera-hover"))];
  const live = map.getFeatureState({ source: SOURCE, sourceLayer: POINTS, id: String(properties["id"]) }) as { value?: number };
  const { text, colour } = describe(live.value ?? properties["value"]);
  return [swatch(colour), h("strong", {}, text), h("span", {}, String(properties["name"] ?? ""))];
}

function swatch(colour: string): HTMLElement {
  const mark = h("span", { class: "swatch", "aria-hidden": "true" });
  mark.style.backgroundColor = colour;
  return mark;
}

function place(card: HTMLElement, x: number, y: number): void {
  const left = Math.min(x + 14, byId("map").clientWidth - card.offsetWidth - 8);
  card.style.transform = `translate(${left}px, ${Math.max(8, y - card.offsetHeight - 12)}px)`;
}
