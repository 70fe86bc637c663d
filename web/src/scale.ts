/** From values to colours: where the classes break, and which ramp a product uses. */
import type { Cell, Field, Product } from "./types";
import type { ScaleKind } from "./state";

/** Six steps, light to dark (the thermal one cold to warm); each step's lightness falls evenly so that the order reads without hue. */
const RAMPS = {
  flow: ["#a9dcc6", "#70c6bd", "#3aa9b6", "#2081a6", "#1b598d", "#1a3266"],
  warm: ["#fbd98a", "#fab465", "#f3885a", "#da565f", "#a82f69", "#671a5d"],
  water: ["#b9d7f8", "#8abcf2", "#5d9fe8", "#3478d1", "#1f52a5", "#14306d"],
  thermal: ["#3f5fb8", "#74a9dc", "#b9ddd6", "#f6d686", "#ee9150", "#c33d3e"],
  light: ["#f7dd85", "#f0c450", "#e6a438", "#c4782b", "#8e4f27", "#54301f"],
  room: ["#cfe99a", "#a5d67d", "#77bd72", "#3f9a66", "#1b7359", "#0b4a47"],
} as const;

const RAMP_OF: Record<string, keyof typeof RAMPS> = {
  air_quality: "warm", noise: "warm", waste_container: "warm", water_level: "water", street_light: "light", parking: "room",
};

export interface Scale {
  kind: ScaleKind;
  colours: readonly string[];
  /** Quantile: the limits between classes (one fewer than colours). Linear: the value of each colour, low to high. */
  stops: number[];
}

export function rampOf(product: Product, field: Field): readonly string[] {
  return RAMPS[field.unit === "Cel" ? "thermal" : (RAMP_OF[product.product] ?? "flow")];
}

/** The value below which `share` (0 to 1) of the sensors lie; `cells` sorted by mean. */
function quantile(cells: Cell[], total: number, share: number): number {
  let seen = 0;
  for (const cell of cells) {
    seen += cell.n;
    if (seen >= share * total) return cell.mean;
  }
  return cells.at(-1)?.mean ?? 0;
}

/** Two significant digits of the spread: limits that people can read. */
function readable(value: number, spread: number): number {
  const step = 10 ** Math.floor(Math.log10(spread / 20));
  return Number((Math.round(value / step) * step).toPrecision(12));
}

/** A scale from the aggregates of the whole city; null when there are no values. */
export function makeScale(kind: ScaleKind, aggregates: Cell[], ramp: readonly string[]): Scale | null {
  const sorted = aggregates.filter((cell) => Number.isFinite(cell.mean)).sort((a, b) => a.mean - b.mean);
  const total = sorted.reduce((sum, cell) => sum + cell.n, 0);
  if (total === 0) return null;
  const low = quantile(sorted, total, 0.02);
  const high = quantile(sorted, total, 0.98);
  const spread = high - low;
  if (!(spread > 0)) return { kind: "quantile", colours: [ramp[2] ?? "#41adb8"], stops: [] };
  if (kind === "linear") return { kind, colours: ramp, stops: ramp.map((_, i) => readable(low + (spread * i) / (ramp.length - 1), spread)) };
  const limits = ramp.slice(1).map((_, i) => readable(quantile(sorted, total, (i + 1) / ramp.length), spread));
  const stops = [...new Set(limits)];
  return { kind, colours: spaced(ramp, stops.length + 1), stops };
}

/** `n` colours spread over the ramp. */
function spaced(ramp: readonly string[], n: number): string[] {
  return Array.from({ length: n }, (_, i) => ramp[n === 1 ? 2 : Math.round((i * (ramp.length - 1)) / (n - 1))] ?? "#41adb8");
}

export const NO_VALUE = "#a9b4bf";

/** The colour of a value, for legends and panels outside the map. */
export function colourOf(scale: Scale | null, value: unknown): string {
  if (!scale || typeof value !== "number") return NO_VALUE;
  const limits = scale.kind === "linear" ? scale.stops.slice(1) : scale.stops;
  const index = limits.findIndex((limit) => value < limit);
  return scale.colours[index === -1 ? limits.length : index] ?? NO_VALUE;
}
