/** What the page shows. One store; the address after `#` carries it, so that a view can be sent as a link. */

export type ScaleKind = "quantile" | "linear";

export interface View {
  zoom: number;
  lat: number;
  lon: number;
}

export interface State {
  product: string | null;
  field: string | null;
  scale: ScaleKind;
  /** Epoch ms of the instant shown; null: live. */
  asOf: number | null;
  /** Epoch ms; null: with all that is known today. */
  knownAsOn: number | null;
  entity: string | null;
  table: boolean;
  /** Whether the fields of view of cameras are drawn. */
  cameras: boolean;
  view: View;
}

type Listener = (state: Readonly<State>, changed: ReadonlySet<keyof State>) => void;

const initialView: View = { zoom: CITY.zoom, lat: CITY.centre[1], lon: CITY.centre[0] };
let current: State = { product: null, field: null, scale: "quantile", asOf: null, knownAsOn: null, entity: null, table: false, cameras: true, view: initialView, ...readHash() };
const listeners = new Set<Listener>();
let writeTimer: ReturnType<typeof setTimeout> | undefined;

export const state = (): Readonly<State> => current;

export function subscribe(listener: Listener): void {
  listeners.add(listener);
}

/** Merges `patch`; listeners hear only of what truly changed. */
export function update(patch: Partial<State>): void {
  const changed = new Set((Object.keys(patch) as (keyof State)[]).filter((key) => patch[key] !== current[key]));
  if (changed.size === 0) return;
  current = { ...current, ...patch };
  clearTimeout(writeTimer);
  // Browsers refuse a page that writes its address too often (playing, dragging).
  writeTimer = setTimeout(writeHash, 250);
  for (const listener of listeners) listener(current, changed);
}

function readHash(): Partial<State> {
  const query = new URLSearchParams(location.hash.slice(1));
  const found: Partial<State> = {};
  const [zoom, lat, lon] = (query.get("map") ?? "").split("/").map(Number);
  if (zoom !== undefined && lat !== undefined && lon !== undefined && [zoom, lat, lon].every(Number.isFinite)) {
    found.view = { zoom: clamp(zoom, 7, 19), lat: clamp(lat, CITY.bounds[1], CITY.bounds[3]), lon: clamp(lon, CITY.bounds[0], CITY.bounds[2]) };
  }
  for (const key of ["product", "field", "entity"] as const) {
    const text = query.get(key);
    if (text && text.length <= 256) found[key] = text;
  }
  if (query.get("scale") === "linear") found.scale = "linear";
  if (query.has("table")) found.table = true;
  if (query.get("cameras") === "off") found.cameras = false;
  const asOf = Date.parse(query.get("as_of") ?? "");
  if (Number.isFinite(asOf)) found.asOf = asOf;
  const known = Date.parse(query.get("known_as_on") ?? "");
  if (Number.isFinite(known)) found.knownAsOn = known;
  return found;
}

function clamp(n: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, n));
}

function writeHash(): void {
  const { view, product, field, scale, asOf, knownAsOn, entity, table, cameras } = current;
  const items = [`map=${view.zoom.toFixed(2)}/${view.lat.toFixed(5)}/${view.lon.toFixed(5)}`];
  if (product) items.push(`product=${encodeURIComponent(product)}`);
  if (field) items.push(`field=${encodeURIComponent(field)}`);
  if (scale === "linear") items.push("scale=linear");
  if (asOf !== null) items.push(`as_of=${new Date(asOf).toISOString()}`);
  if (knownAsOn !== null) items.push(`known_as_on=${new Date(knownAsOn).toISOString()}`);
  if (entity) items.push(`entity=${encodeURIComponent(entity)}`);
  if (table) items.push("table");
  if (!cameras) items.push("cameras=off");
  history.replaceState(null, "", `#${items.join("&")}`);
  dispatchEvent(new CustomEvent("portico:hash"));
}

/** Follows a hash that someone typed or pasted, and back/forward. */
addEventListener("hashchange", () => {
  update({ entity: null, asOf: null, knownAsOn: null, table: false, cameras: true, ...readHash() });
});

/** The two time parameters of every request. */
export function instant(): { as_of: string | null; known_as_on: string | null } {
  const { asOf, knownAsOn } = current;
  return { as_of: asOf === null ? null : new Date(asOf).toISOString(), known_as_on: knownAsOn === null ? null : new Date(knownAsOn).toISOString() };
}
