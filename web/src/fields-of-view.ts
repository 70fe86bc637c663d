/** What cameras see, from their register entries to shapes for the map. Needs no page. */
import type { EntityFeature, Value } from "./types";

export interface Fields {
  type: "FeatureCollection";
  features: { type: "Feature"; geometry: { type: "Polygon"; coordinates: [number, number][][] }; properties: { id: string; name: string; closed: boolean } }[];
}

export const textOf = (value: Value | undefined): string => (typeof value === "string" ? value : "");

/** Rings are closed as GeoJSON wants them; what is no ring is left out. */
export function fieldsOfView(features: EntityFeature[]): Fields {
  const found = features.flatMap((feature): Fields["features"] => {
    const ring = ringOf(textOf(feature.properties.values["field_of_view"]));
    const closed = feature.properties.values["state"] !== "registered";
    return ring ? [{ type: "Feature", geometry: { type: "Polygon", coordinates: [ring] }, properties: { id: feature.id, name: nameOf(feature.id), closed } }] : [];
  });
  return { type: "FeatureCollection", features: found };
}

/** The end of the URN, which is the name of the stream, as people write it. */
export const nameOf = (id: string): string => (id.split(":").pop() ?? id).replace(/[-_]+/g, " ").replace(/(^| )\p{L}/gu, (letter) => letter.toUpperCase());

export function ringOf(text: string): [number, number][] | null {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return null;
  }
  const isCorner = (corner: unknown): corner is [number, number] => Array.isArray(corner) && corner.length === 2 && corner.every((n) => Number.isFinite(n));
  if (!Array.isArray(list) || list.length < 3 || !list.every(isCorner)) return null;
  const [first] = list;
  return first ? [...list, first] : null;
}
