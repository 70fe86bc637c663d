/** What the header says of the page's health: live or not, simulated or not, signed in or not, and what went wrong. */
import { seesQuarantine, signOut, whoami } from "./api";
import { byId } from "./dom";
import { formatClockSeconds } from "./format";
import { t } from "./i18n";
import type { LiveState } from "./live";
import { state, subscribe } from "./state";
import type { Product } from "./types";

const RETRY_MS = 8000;
const liveState = byId("live-state");
let lastChange: number | null = null;
let connection: LiveState = "connecting";

export function showConnection(now: LiveState): void {
  connection = now;
  drawLive();
}

export function showUpdate(at: number): void {
  lastChange = at;
  drawLive();
}

function drawLive(): void {
  liveState.hidden = false;
  const isPast = state().asOf !== null || state().knownAsOn !== null;
  const kind = isPast ? "paused" : connection === "open" ? "open" : connection === "broken" ? "broken" : "connecting";
  liveState.className = `bar-state is-${kind}`;
  const text = kind === "paused" ? t("live-paused") : kind === "broken" ? t("live-broken")
    : lastChange !== null ? t("live-updated", { time: formatClockSeconds(lastChange) }) : t(kind === "open" ? "live-open" : "live-connecting");
  byId("live-text").textContent = text;
}

export function attachStatus(): void {
  subscribe((_, changed) => {
    if (changed.has("asOf") || changed.has("knownAsOn")) drawLive();
  });
  byId("sign-out").addEventListener("click", async () => {
    await signOut().catch(() => undefined);
    location.reload();
  });
  void showUser();
  const link = byId<HTMLAnchorElement>("other-language");
  const page = link.getAttribute("href") ?? "";
  const follow = (): void => link.setAttribute("href", page + location.hash);
  addEventListener("portico:hash", follow);
  follow();
}

/** Without an answer the page offers to sign in. */
async function showUser(): Promise<void> {
  const user = await whoami().catch(() => null);
  byId("sign-in").hidden = user !== null;
  byId("sign-out").hidden = user === null;
  if (user === null) return;
  byId("sign-out").title = user;
  byId("devices-link").hidden = !(await seesQuarantine().catch(() => false));
}

export function showSimulated(products: Product[]): void {
  byId("simulated").hidden = !products.some((product) => product.simulated);
}

let retryTimer: ReturnType<typeof setTimeout> | undefined;
let retryNow: () => void = () => undefined;

/** Shows the failure and calls `again` when the person asks, or by itself after a while. */
export function showFailure(status: number, detail: string, again: () => void): void {
  const isLimit = status >= 400 && status < 500;
  byId("notice-title").textContent = t("error-title");
  byId("notice-detail").textContent = isLimit ? t("error-limited", { detail }) : t("error-detail");
  byId("notice").hidden = false;
  retryNow = again;
  clearTimeout(retryTimer);
  if (!isLimit) retryTimer = setTimeout(again, RETRY_MS);
}

export function hideFailure(): void {
  clearTimeout(retryTimer);
  byId("notice").hidden = true;
}

byId("retry").addEventListener("click", () => {
  clearTimeout(retryTimer);
  retryNow();
});
