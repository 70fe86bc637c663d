/** The map's own background: municipalities and provinces, or the raster that the server's settings name. No other host is asked. */
import type { LayerSpecification, StyleSpecification } from "maplibre-gl";
import { t } from "./i18n";

const FONT = ["Titillium Web"];
const FONT_BOLD = ["Titillium Web SemiBold"];

function setting(name: string): string {
  return document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content.trim() ?? "";
}

const of = (kind: string): ["==", ["get", string], string] => ["==", ["get", "kind"], kind];

const CAPITAL: ["==", ["get", string], number] = ["==", ["get", "istat"], 37006];

/** `data` is the boundaries' GeoJSON or its address. No `glyphs`: labels are drawn with the page's own font. */
export function baseStyle(): StyleSpecification {
  const tiles = setting("portico-tiles");
  const hasRaster = tiles !== "";
  const sources: StyleSpecification["sources"] = {
    base: { type: "geojson", data: new URL(BASEMAP_URL, location.href).href, attribution: t("boundaries"), tolerance: 0.2 },
  };
  if (!hasRaster) for (const [name, metres] of GRIDS) sources[name] = { type: "geojson", data: grid(metres) };
  if (hasRaster) sources["raster"] = { type: "raster", tiles: [tiles], tileSize: 256, attribution: setting("portico-tiles-attribution") };
  return { version: 8, sources, layers: [...land(hasRaster), ...(hasRaster ? [] : gridLayers()), ...outlines(hasRaster)] };
}

function land(hasRaster: boolean): LayerSpecification[] {
  const background: LayerSpecification = { id: "background", type: "background", paint: { "background-color": "#dde5ea" } };
  if (hasRaster) return [background, { id: "raster", type: "raster", source: "raster", paint: { "raster-saturation": -0.7, "raster-opacity": 0.75 } }];
  return [
    background,
    { id: "province-fill", type: "fill", source: "base", filter: of("province"), paint: { "fill-color": "#e6ecef" } },
    // Two layers of one colour each: maplibre draws them without blending, from the front.
    { id: "municipality-fill", type: "fill", source: "base", filter: ["all", of("municipality"), ["!", CAPITAL]], paint: { "fill-color": "#f1f5f6" } },
    { id: "capital-fill", type: "fill", source: "base", filter: ["all", of("municipality"), CAPITAL], paint: { "fill-color": "#fcfdfd" } },
  ];
}

const GRIDS = [["grid-1000", 1000], ["grid-250", 250]] as const;
const METRES_PER_DEGREE = 111_200;

/** Lines every `metres` over the city: without streets, they give the eye a measure. */
function grid(metres: number): { type: "MultiLineString"; coordinates: [number, number][][] } {
  const [west, south, east, north] = CITY.bounds;
  const up = metres / METRES_PER_DEGREE;
  const across = up / Math.cos((CITY.centre[1] * Math.PI) / 180);
  const coordinates: [number, number][][] = [];
  for (let lat = south; lat < north; lat += up) coordinates.push([[west, lat], [east, lat]]);
  for (let lon = west; lon < east; lon += across) coordinates.push([[lon, south], [lon, north]]);
  return { type: "MultiLineString", coordinates };
}

function gridLayers(): LayerSpecification[] {
  const fade = (from: number, to: number): ["interpolate", ["linear"], ["zoom"], number, 0, number, number] => ["interpolate", ["linear"], ["zoom"], from, 0, from + 1, to];
  return [
    { id: "grid-250", type: "line", source: "grid-250", minzoom: 13, paint: { "line-color": "#dfe7ec", "line-width": 1, "line-opacity": fade(13, 0.75) } },
    { id: "grid-1000", type: "line", source: "grid-1000", minzoom: 11.5, paint: { "line-color": "#d3dde4", "line-width": 1, "line-opacity": fade(11.5, 0.9) } },
  ];
}

function outlines(hasRaster: boolean): LayerSpecification[] {
  const opacity = hasRaster ? 0.5 : 1;
  return [
    { id: "province-line", type: "line", source: "base", filter: of("province"), paint: { "line-color": "#cfd9df", "line-width": 1, "line-opacity": opacity } },
    {
      id: "municipality-line", type: "line", source: "base", filter: of("municipality"), layout: { "line-join": "round" },
      paint: { "line-color": "#c3d0d8", "line-width": ["interpolate", ["linear"], ["zoom"], 8, 0.5, 13, 1.2], "line-opacity": opacity },
    },
    {
      id: "capital-line", type: "line", source: "base", filter: ["all", of("municipality"), CAPITAL], layout: { "line-join": "round" },
      paint: { "line-color": "#8aa0b0", "line-width": ["interpolate", ["linear"], ["zoom"], 8, 1, 13, 2], "line-opacity": opacity },
    },
  ];
}

/** Names lie above the data. The capital shows from afar, small municipalities only closer. */
export function labelLayers(): LayerSpecification[] {
  const paint = { "text-color": "#465a6b", "text-halo-color": "rgba(255,255,255,0.9)", "text-halo-width": 1.4 };
  const rank = (n: number, id: string, minzoom: number, size: [number, number], font: string[]): LayerSpecification => ({
    id, type: "symbol", source: "base", minzoom, maxzoom: 13.5, filter: ["all", of("label"), ["==", ["get", "rank"], n]],
    layout: { "text-field": ["get", "name"], "text-font": font, "text-size": ["interpolate", ["linear"], ["zoom"], 9, size[0], 13, size[1]], "text-max-width": 7, "text-padding": 4 },
    paint: n === 0 ? { ...paint, "text-color": "#17324d" } : paint,
  });
  return [rank(2, "label-small", 10.2, [10.5, 14], FONT), rank(1, "label-large", 8.6, [11.5, 16], FONT), rank(0, "label-capital", 7, [15, 20], FONT_BOLD)];
}
