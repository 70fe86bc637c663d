/** A soft ring that grows and fades where a value just changed. One batch at a time, animated by maplibre's own paint transitions. */
import type { GeoJSONSource, Map as MapView } from "maplibre-gl";
import { reducedMotion } from "./dom";
import type { Change } from "./types";

const RINGS_MAX = 300;
const LIFE_MS = 1300;

export function makePulse(map: MapView): (changes: Change[]) => void {
  const source = map.getSource<GeoJSONSource>("pulse");
  let busyUntil = 0;
  return (changes) => {
    const now = performance.now();
    if (reducedMotion() || changes.length === 0 || now < busyUntil) return;
    busyUntil = now + LIFE_MS;
    source?.setData({
      type: "FeatureCollection",
      features: changes.slice(0, RINGS_MAX).map(({ lon, lat }) => ({ type: "Feature", properties: {}, geometry: { type: "Point", coordinates: [lon, lat] } })),
    });
    ring(map, 0, 0.45, 5);
    requestAnimationFrame(() => ring(map, LIFE_MS, 0, 22));
  };
}

function ring(map: MapView, duration: number, opacity: number, radius: number): void {
  const transition = { duration, delay: 0 };
  map.setPaintProperty("pulse", "circle-opacity-transition", transition);
  map.setPaintProperty("pulse", "circle-radius-transition", transition);
  map.setPaintProperty("pulse", "circle-opacity", opacity);
  map.setPaintProperty("pulse", "circle-radius", radius);
}
