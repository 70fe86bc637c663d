/** What `GET /api/quarantine/suggestions` sends, and the pure parts of how it is shown. */
import type { Value } from "./types";

export type SuggestionState = "ready" | "mapping" | "contract" | "incomplete";

export interface FieldGuess {
  field: string;
  pointer: string;
  scale: number;
  offset: number;
  absent: number[];
  unit: string | null;
  /** 0 to 1. */
  confidence: number;
  why: string;
  example: Value;
}

export interface PreviewRow {
  entity: string;
  observed_at: string;
  lon: number | null;
  lat: number | null;
  values: Record<string, Value>;
}

export interface Suggestion {
  id: string;
  tenant: string;
  /** Template of the topics. */
  topic: string;
  state: SuggestionState;
  messages: number;
  devices: number;
  first_at: string;
  last_at: string;
  reasons: Record<string, number>;
  examples: { topic: string; payload: string; reason: string; message: string }[];
  product: string | null;
  score: number;
  why: string[];
  others: { product: string; score: number }[];
  in_force: string | null;
  format: string | null;
  fields: FieldGuess[];
  time: { pointer: string | null; format: string; zone: string | null } | null;
  place: [string, string] | null;
  left_over: { pointer: string; example: Value; why: string | null }[];
  missing: string[];
  mapping: string | null;
  contract: { product: string; text: string } | null;
  decoded: number;
  checked: number;
  preview: PreviewRow[];
}

export interface Suggestions {
  hours: number;
  waiting: number;
  truncated: boolean;
  may_accept: boolean;
  suggestions: Suggestion[];
}

export interface Accepted {
  files: string[];
  /** False until a restart loads a new contract. */
  in_force: boolean;
}

export interface Replayed {
  replayed: number;
  skipped: Record<string, number>;
  left: number;
  stored: number;
  late: number;
  duplicate: number;
  quarantined: number;
  dropped: number;
  rejects: { reason: string; message: string }[];
}

/** `x 0.1 + 2`, or nothing when the value is taken as it comes. */
export function conversion({ scale, offset }: FieldGuess): string {
  const tidy = (n: number): string => String(Number(n.toPrecision(6)));
  const times = scale === 1 ? "" : `× ${tidy(scale)}`;
  const plus = offset === 0 ? "" : `${offset < 0 ? "−" : "+"} ${tidy(Math.abs(offset))}`;
  return [times, plus].filter(Boolean).join(" ");
}

/** Columns of the preview: every field that some row has, in the order of the mapping. */
export const previewFields = (s: Suggestion): string[] =>
  s.fields.map((f) => f.field).concat(s.preview.flatMap((row) => Object.keys(row.values)))
    .filter((name, i, all) => all.indexOf(name) === i && s.preview.some((row) => name in row.values));

/** Sums of several steps of one replay. */
export function addReplayed(sum: Replayed | null, step: Replayed): Replayed {
  if (!sum) return step;
  return {
    // What is left out is told anew by each step, for all that waits.
    ...step, skipped: step.skipped, replayed: sum.replayed + step.replayed, stored: sum.stored + step.stored, late: sum.late + step.late,
    duplicate: sum.duplicate + step.duplicate, quarantined: sum.quarantined + step.quarantined, dropped: sum.dropped + step.dropped,
    rejects: [...sum.rejects, ...step.rejects].slice(0, 5),
  };
}
