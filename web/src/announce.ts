/** Polite announcements for screen readers, at most one every four seconds, the newest wins. */
import { byId } from "./dom";

const GAP_MS = 4000;
let pending: string | undefined;
let lastAt = -GAP_MS;
let timer: ReturnType<typeof setTimeout> | undefined;

export function announce(text: string): void {
  pending = text;
  if (timer !== undefined) return;
  timer = setTimeout(say, Math.max(100, lastAt + GAP_MS - performance.now()));
}

function say(): void {
  timer = undefined;
  lastAt = performance.now();
  byId("announce").textContent = pending ?? "";
}
