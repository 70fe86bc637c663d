/** Calls to the server this page came from. Every failure is an `ApiError`, so callers decide once what to show. */
import type { Accepted, Replayed, Suggestions } from "./suggestion";
import type { Box, Cell, Entity, EntityCollection, History, Product } from "./types";

export class ApiError extends Error {
  /** HTTP status; 0 when the server could not be reached. */
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const TIMEOUT_MS = 15_000;

type Parameters = Record<string, string | number | readonly string[] | null | undefined>;

export function address(path: string, parameters: Parameters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (Array.isArray(value)) value.forEach((one: string) => query.append(name, one));
    else if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit;
  let response: Response;
  try {
    response = await fetch(path, { ...init, signal, credentials: "same-origin" });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError(0, String(cause));
  }
  if (response.ok) return response;
  throw new ApiError(response.status, await problem(response));
}

/** The `detail` of an RFC 9457 answer, or the status text. */
async function problem(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { detail?: string; title?: string };
    return body.detail ?? body.title ?? response.statusText;
  } catch {
    return response.statusText;
  }
}

async function get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  const response = await request(address(path, parameters), signal ? { signal } : {});
  return (await response.json()) as T;
}

export interface Instant {
  as_of: string | null;
  known_as_on: string | null;
}

/** Describes devices and measures nothing: it is shown with each sensor, not as a layer. */
const REGISTER = "sensor_register";
/** The same of cameras, which are drawn by what they see. */
export const REGISTER_OF_CAMERAS = "camera_register";

/** The products that the caller may see; one that several municipalities have counts once, with all their sensors. */
export async function products(): Promise<Product[]> {
  const merged = new Map<string, Product>();
  for (const one of (await get<Product[]>("/api/products")).filter((p) => p.product !== REGISTER && p.product !== REGISTER_OF_CAMERAS)) {
    const known = merged.get(one.product);
    if (known) merged.set(one.product, { ...known, entities: known.entities + one.entities, simulated: known.simulated || one.simulated });
    else merged.set(one.product, one);
  }
  return [...merged.values()];
}

const session = (): Promise<{ user: string; role: string }> => get("/api/session");

/** Who is signed in; null for the public. */
export async function whoami(): Promise<string | null> {
  const { user, role } = await session();
  return role === "public" ? null : user;
}

/** Whether the caller may look into the quarantine. */
export const seesQuarantine = async (): Promise<boolean> => ["admin", "analyst"].includes((await session()).role);

/** Whether the caller may accept mappings and edit the register. */
export const isOperator = async (): Promise<boolean> => (await session()).role === "admin";

function send<T>(method: string, path: string, body: object): Promise<T> {
  return request(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) }).then((r) => r.json() as Promise<T>);
}

export const suggestions = (hours: number, signal: AbortSignal): Promise<Suggestions> => get("/api/quarantine/suggestions", { hours }, signal);

export const accept = (body: { tenant: string; id: string; mapping: string; contract?: { product: string; text: string } }): Promise<Accepted> =>
  send("POST", "/api/quarantine/accept", body);

export const replay = (body: { tenant: string; topic: string; messages_max: number; hours: number }): Promise<Replayed> =>
  send("POST", "/api/quarantine/replay", body);

/** The register's entry of a device; null when it has none, or the caller may not see it. */
export async function registerEntry(id: string, signal: AbortSignal): Promise<Entity | null> {
  try {
    return await get<Entity>(`/api/twin/entities/${encodeURIComponent(id)}`, { product: REGISTER }, signal);
  } catch (cause) {
    if (cause instanceof ApiError && [401, 403, 404].includes(cause.status)) return null;
    throw cause;
  }
}

/** The register's fields as the caller may see them, for the form. */
export const registerFields = async (): Promise<Product["fields"]> => (await get<Product[]>("/api/products")).find((p) => p.product === REGISTER)?.fields ?? [];

export const saveRegisterEntry = (id: string, tenant: string, entry: Record<string, string | boolean>): Promise<unknown> =>
  send("PUT", address(`/api/register/${encodeURIComponent(id)}`, { tenant }), entry);

export const cells = (product: string, field: string, resolution: number, at: string | null, signal: AbortSignal): Promise<{ cells: Cell[] }> =>
  get("/api/twin/h3", { product, field, resolution, bbox: CITY.bounds.join(","), as_of: at }, signal);

export const entity = (id: string, at: Instant, signal: AbortSignal): Promise<Entity> =>
  get(`/api/twin/entities/${encodeURIComponent(id)}`, { ...at }, signal);

export interface HistoryRequest {
  id: string;
  product: string;
  field: string;
  /** Which of the rows of one instant: `direction:north`. */
  key: readonly string[];
  /** Epoch ms. */
  from: number;
  to: number;
  pointsMax: number;
}

export function history({ id, from, to, pointsMax, ...rest }: HistoryRequest, signal?: AbortSignal): Promise<History> {
  return get(`/api/twin/entities/${encodeURIComponent(id)}/history`, { ...rest, from: iso(from), to: iso(to), points_max: pointsMax }, signal);
}

export const iso = (instant: number): string => new Date(instant).toISOString();

const PAGE = 1000;

/** Entities of a product in a box, at most `max`; `more` tells that the server has others. */
export async function entities(product: string, box: Box | null, at: Instant, max: number, signal: AbortSignal) {
  const found: EntityCollection["features"] = [];
  let cursor: string | null = null;
  do {
    const parameters: Parameters = { product, bbox: box?.map((n) => n.toFixed(5)).join(",") ?? null, ...at, limit: Math.min(PAGE, max), cursor };
    const page: EntityCollection = await get("/api/twin/entities", parameters, signal);
    found.push(...page.features);
    cursor = page.next;
  } while (cursor && found.length < max);
  return { features: found.slice(0, max), more: cursor !== null || found.length > max };
}

export async function signIn(user: string, password: string): Promise<void> {
  await request("/api/session", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user, password }) });
}

export async function signOut(): Promise<void> {
  await request("/api/session", { method: "DELETE" });
}
