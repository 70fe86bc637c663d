/** What the API sends. Instants are ISO 8601 in UTC unless a name says otherwise; positions are degrees on WGS 84. */
export type Freshness = "fresh" | "due" | "overdue";
export type Value = number | string | boolean | null;
export type Language = "it" | "en";

export interface Field {
  name: string;
  label: Record<Language, string>;
  /** UCUM code. */
  unit: string | null;
  kind: string;
  /** Part of a row's identity (direction, vehicle class): tells rows apart, is no measure. */
  key?: boolean;
}

export interface Product {
  product: string;
  tenant: string;
  label: Record<Language, string>;
  /** The field that colours the map when nobody chose another. */
  headline: string;
  fields: Field[];
  entities: number;
  newest: string | null;
  freshness: Freshness;
  cadence_secs: number;
  licence: string;
  owner: string;
  simulated: boolean;
}

export interface EntityProperties {
  product: string;
  tenant: string;
  type: string;
  name: string;
  observed_at: string;
  received_at: string;
  quality: string;
  simulated: boolean;
  source: string;
  freshness: Freshness;
  values: Record<string, Value>;
}

export interface EntityFeature {
  type: "Feature";
  id: string;
  geometry: { type: "Point"; coordinates: [number, number] } | null;
  properties: EntityProperties;
}

export interface EntityCollection {
  features: EntityFeature[];
  as_of: string;
  next: string | null;
}

export interface Attribute {
  name: string;
  value: Value;
  unit: string | null;
  observed_at: string;
  quality: string;
  /** Values of the product's key fields, where one entity holds several rows (vehicle class, direction). */
  key?: Record<string, Value> | null;
}

export interface Entity extends Omit<EntityProperties, "values"> {
  id: string;
  attributes: Attribute[];
  /** One of the two ways to say where it is; neither when it has no place. */
  geometry?: EntityFeature["geometry"];
  lon?: number | null;
  lat?: number | null;
}

export interface History {
  field: string;
  unit: string | null;
  /** Epoch milliseconds and value, in time order. */
  points: [number, number | null][];
  downsampled: boolean;
}

export interface Cell {
  h3: string;
  n: number;
  mean: number;
  min: number;
  max: number;
}

/** One event of `/api/twin/events`. */
export interface Change {
  id: string;
  product: string;
  lon: number;
  lat: number;
  observed_at: string;
  values: Record<string, Value>;
}

/** west, south, east, north. */
export type Box = [number, number, number, number];

export interface City {
  city: string;
  centre: [number, number];
  zoom: number;
  bounds: Box;
  timezone: string;
}
