/** The map island: maplibre, the twin's tiles as a source, and what the rest of the page may do with them. Loaded on demand, it is the heavy part. */
import { AttributionControl, Map as MapView, NavigationControl, ScaleControl, setWorkerUrl, type GeoJSONSource, type VectorTileSource } from "maplibre-gl";
import { address } from "./api";
import { baseStyle, labelLayers } from "./basemap";
import { byId, isPhone, reducedMotion } from "./dom";
import { attachHover } from "./hover";
import { language, t } from "./i18n";
import type { Fields } from "./fields-of-view";
import { CAMERAS, cellColour, pointColour, namesFrom, pointRadius, POINTS, POINTS_ZOOM, SOURCE, twinLayers } from "./paint";
import { makePulse } from "./pulse";
import type { Scale } from "./scale";
import { instant, state, update } from "./state";
import type { Box, Change } from "./types";

export interface CityMap {
  /** Shows product and field of the state at the state's instant; keeps the old picture until the new one is there. */
  showTiles(): void;
  /** Asks for the same tiles again: cells follow what changed. */
  refresh(): void;
  colour(scale: Scale | null, count: number): void;
  apply(changes: Iterable<Change>, field: string): void;
  select(position: [number, number] | null): void;
  /** What cameras see. */
  showCameras(fields: Fields): void;
  flyTo(position: [number, number], zoom?: number): void;
  box(): Box;
  showsPoints(): boolean;
  /** Resolves when every tile of the present instant is drawn, or after `limitMs`. */
  settled(limitMs: number): Promise<void>;
}

const EMPTY = { type: "FeatureCollection" as const, features: [] };

export interface MapEvents {
  moved(): void;
  failed(status: number, detail: string): void;
  /** Unit and scale of what hovers. */
  describe(value: unknown): { text: string; colour: string };
}

export async function makeMap(events: MapEvents): Promise<CityMap> {
  setWorkerUrl(new URL(WORKER_URL, location.href).href);
  await Promise.all(["400 16px 'Titillium Web'", "600 16px 'Titillium Web SemiBold'"].map((font) => document.fonts.load(font)));
  const { view } = state();
  const map = new MapView({
    container: "map", style: baseStyle(), center: [view.lon, view.lat], zoom: view.zoom, minZoom: 7.5, maxZoom: 19, maxBounds: CITY.bounds,
    attributionControl: false, dragRotate: false, pitchWithRotate: false, touchPitch: false, fadeDuration: reducedMotion() ? 0 : 200,
    locale: { "Map.Title": t("map-title"), "NavigationControl.ZoomIn": t("zoom-in"), "NavigationControl.ZoomOut": t("zoom-out") },
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  if (!isPhone()) map.setPadding({ left: byId("legend").offsetWidth + 12, top: 0, right: 0, bottom: byId("timeline").offsetHeight + 12 });
  map.addControl(new NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new ScaleControl({ maxWidth: 110, unit: "metric" }), "bottom-right");
  map.addControl(new AttributionControl({ compact: false, customAttribution: `<a href="/assets/licences.txt">${t("licences")}</a>` }), "bottom-right");
  byId("map").lang = language;
  await map.once("style.load");
  addData(map);
  map.on("moveend", () => {
    const centre = map.getCenter();
    update({ view: { zoom: map.getZoom(), lat: centre.lat, lon: centre.lng } });
    events.moved();
  });
  map.on("error", ({ error }) => {
    const status = (error as { status?: number }).status;
    if (status !== undefined || error.message.includes("fetch")) events.failed(status ?? 0, error.message);
  });
  const ready = (): void => void document.documentElement.toggleAttribute("data-map-ready", true);
  map.on("idle", ready);
  // On a slow machine live changes may leave no idle moment.
  map.on("sourcedata", (event) => {
    if (event.sourceId === SOURCE && event.sourceDataType !== "metadata" && event.isSourceLoaded) ready();
  });
  attachHover(map, events.describe);
  return face(map);
}

function addData(map: MapView): void {
  map.addSource(SOURCE, { type: "vector", tiles: [tileAddress()], minzoom: 0, maxzoom: 14, promoteId: { [POINTS]: "id" } });
  map.addSource("selected", { type: "geojson", data: EMPTY });
  map.addSource(CAMERAS, { type: "geojson", data: EMPTY });
  map.addSource("pulse", { type: "geojson", data: EMPTY });
  for (const layer of [...twinLayers(), ...labelLayers()]) map.addLayer(layer);
}

/** Moves the map when the panel of the selected sensor, or the edge, hides its place. */
function reveal(map: MapView, position: [number, number]): void {
  const { x, y } = map.project(position);
  const { left, top, right, bottom } = byId("map").getBoundingClientRect();
  const panel = byId("entity").getBoundingClientRect();
  const free = isPhone() ? { left: 0, right: right - left, bottom: panel.top - top } : { left: map.getPadding().left ?? 0, right: panel.left - left, bottom: bottom - top - (map.getPadding().bottom ?? 0) };
  const edge = 24;
  if (x > free.left + edge && x < free.right - edge && y > edge && y < free.bottom - edge) return;
  const wanted = { x: (free.left + free.right) / 2, y: free.bottom / 2 };
  map.panBy([x - wanted.x, y - wanted.y], { duration: reducedMotion() ? 0 : 500 });
}

function tileAddress(): string {
  const { product, field } = state();
  return location.origin + address("/api/twin/tiles/{z}/{x}/{y}.mvt", { product, field, ...instant() }).replace(/%7B(\w)%7D/g, "{$1}");
}

function face(map: MapView): CityMap {
  const twin = map.getSource<VectorTileSource>(SOURCE);
  const selected = map.getSource<GeoJSONSource>("selected");
  const pulse = makePulse(map);
  const forget = (): void => void map.removeFeatureState({ source: SOURCE, sourceLayer: POINTS });
  return {
    showTiles() {
      forget();
      document.documentElement.removeAttribute("data-map-ready");
      twin?.setTiles([tileAddress()]);
    },
    refresh: () => void map.refreshTiles(SOURCE),
    colour(scale, count) {
      map.setPaintProperty("cells", "fill-color", cellColour(scale));
      map.setPaintProperty("points", "circle-color", pointColour(scale));
      map.setPaintProperty("points", "circle-radius", pointRadius(count));
      map.setLayerZoomRange("point-names", namesFrom(count), 24);
    },
    apply(changes, field) {
      const seen: Change[] = [];
      for (const change of changes) {
        const value = change.values[field];
        if (typeof value !== "number") continue;
        map.setFeatureState({ source: SOURCE, sourceLayer: POINTS, id: change.id }, { value, freshness: "fresh" });
        seen.push(change);
      }
      if (map.getZoom() >= POINTS_ZOOM) pulse(seen);
    },
    select(position) {
      selected?.setData(position ? { type: "Point", coordinates: position } : EMPTY);
      if (position) reveal(map, position);
    },
    showCameras: (fields) => void map.getSource<GeoJSONSource>(CAMERAS)?.setData(fields),
    flyTo(position, zoom) {
      const target = { center: position, zoom: zoom ?? map.getZoom() };
      if (reducedMotion()) map.jumpTo(target);
      else map.flyTo({ ...target, duration: 1200, essential: false });
    },
    box() {
      const b = map.getBounds();
      return [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()];
    },
    showsPoints: () => map.getZoom() >= POINTS_ZOOM,
    settled: (limitMs) => new Promise((done) => {
      const timer = setTimeout(done, limitMs);
      map.once("idle", () => {
        clearTimeout(timer);
        done();
      });
    }),
  };
}

