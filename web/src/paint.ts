/** Layers of the twin's tiles and the expressions that colour them. */
import type { ExpressionSpecification, LayerSpecification } from "maplibre-gl";
import { NO_VALUE, type Scale } from "./scale";

export const SOURCE = "twin";
export const POINTS = "points";
export const CELLS = "cells";
/** What cameras see: apart from every ramp of figures. */
export const CAMERAS = "cameras";
const CAMERA_COLOUR = "#8a2f8f";
/** Below this zoom tiles hold cells, from it on points (the server's rule). */
export const POINTS_ZOOM = 13;

/** The value of a point: what came live, else what the tile says. */
const pointValue: ExpressionSpecification = ["coalesce", ["feature-state", "value"], ["get", "value"]];
const isStale: ExpressionSpecification = ["==", ["coalesce", ["feature-state", "freshness"], ["get", "freshness"]], "overdue"];

function ramp(value: ExpressionSpecification, scale: Scale | null): ExpressionSpecification | string {
  if (!scale) return NO_VALUE;
  const [first = NO_VALUE, ...rest] = scale.colours;
  const number: ExpressionSpecification = ["to-number", value, 0];
  let colour: ExpressionSpecification | string = first;
  if (scale.kind === "linear") colour = ["interpolate", ["linear"], number, ...interleave(rising(scale.stops), scale.colours)] as ExpressionSpecification;
  else if (rest.length > 0) colour = ["step", number, first, ...interleave(scale.stops, rest)] as ExpressionSpecification;
  return ["case", ["==", ["typeof", value], "number"], colour, NO_VALUE];
}

const interleave = (stops: readonly number[], colours: readonly string[]): (number | string)[] => stops.flatMap((stop, i) => [stop, colours[i] ?? NO_VALUE]);

/** maplibre wants strictly rising stops; rounding may have made two equal. */
const rising = (stops: readonly number[]): number[] => stops.map((stop, i) => stop + i * 1e-9);

export const cellColour = (scale: Scale | null): ExpressionSpecification | string => ramp(["get", "mean"], scale);

export function pointColour(scale: Scale | null): ExpressionSpecification {
  return ["case", isStale, "rgba(255,255,255,0.75)", ramp(pointValue, scale)];
}

/** Few sensors are drawn larger, so that ten stations do not look like dust; very many smaller. */
export function pointRadius(count: number): ExpressionSpecification {
  const factor = count < 60 ? 1.7 : count < 400 ? 1.25 : count < 5000 ? 1 : 0.72;
  return ["interpolate", ["exponential", 1.4], ["zoom"], 13, 4.2 * factor, 15, 6.5 * factor, 18, 13 * factor];
}

/** The zoom from which names show: placing very many of them would take longer than a frame. */
export const namesFrom = (count: number): number => (count < 5000 ? 14.3 : count < 20_000 ? 15.5 : 16.5);

export function twinLayers(): LayerSpecification[] {
  return [
    {
      id: "cells", type: "fill", source: SOURCE, "source-layer": CELLS, maxzoom: POINTS_ZOOM,
      paint: { "fill-color": NO_VALUE, "fill-opacity": 0.93 },
    },
    {
      id: "camera-fields", type: "fill", source: CAMERAS, minzoom: 10,
      paint: { "fill-color": CAMERA_COLOUR, "fill-opacity": ["case", ["get", "closed"], 0.08, 0.24] },
    },
    {
      // Wide from afar, where a field of view would be less than a dot.
      id: "camera-lines", type: "line", source: CAMERAS, minzoom: 10, layout: { "line-join": "round" },
      paint: { "line-color": CAMERA_COLOUR, "line-opacity": ["case", ["get", "closed"], 0.45, 0.9], "line-width": ["interpolate", ["linear"], ["zoom"], 10, 3.5, 14, 2, 18, 1.6] },
    },
    { id: "pulse", type: "circle", source: "pulse", minzoom: POINTS_ZOOM, paint: { "circle-color": "#0066cc", "circle-opacity": 0, "circle-radius": 4 } },
    {
      id: "points", type: "circle", source: SOURCE, "source-layer": POINTS, minzoom: POINTS_ZOOM,
      paint: {
        "circle-color": NO_VALUE, "circle-radius": 5,
        "circle-stroke-color": ["case", isStale, "#5d7083", "rgba(23,50,77,0.72)"],
        "circle-stroke-width": ["case", isStale, 1.6, 0.9],
      },
    },
    {
      id: "point-names", type: "symbol", source: SOURCE, "source-layer": POINTS, minzoom: 14.3,
      layout: { "text-field": ["get", "name"], "text-font": ["Titillium Web"], "text-size": ["interpolate", ["linear"], ["zoom"], 14.3, 10.5, 16, 13], "text-offset": [0, 1.1], "text-anchor": "top", "text-max-width": 9, "text-optional": true, "text-padding": 6 },
      paint: { "text-color": "#33485c", "text-halo-color": "rgba(255,255,255,0.92)", "text-halo-width": 1.3 },
    },
    {
      id: "selected", type: "circle", source: "selected",
      paint: { "circle-radius": ["interpolate", ["linear"], ["zoom"], 9, 9, 16, 16], "circle-color": "rgba(0,0,0,0)", "circle-stroke-color": "#17324d", "circle-stroke-width": 3 },
    },
  ];
}
