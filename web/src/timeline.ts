/** The time handle: any past instant for the whole map, by slider, step, date or playback. */
import { announce } from "./announce";
import { byId, debounce, h } from "./dom";
import { formatClock, formatDay, formatDayShort, formatInstant } from "./format";
import { t } from "./i18n";
import { state, subscribe, update } from "./state";
import { fromLocal, startOfDay, toLocal } from "./time";

const MINUTE = 60_000;
const PLAY_PAUSE_MS = 650;
/** Width that a tick with its text needs. */
const TICK_PX = 62;
const SPANS = [1440, 10_080, 43_200];

const slider = byId<HTMLInputElement>("time-slider");
const stepField = byId<HTMLSelectElement>("time-step");
const spanField = byId<HTMLSelectElement>("time-span");
const atField = byId<HTMLInputElement>("time-at");
const knownField = byId<HTMLInputElement>("known-at");

/** The slider's right end: now, held on a whole minute so that ticks do not tremble. */
let end = Math.floor(Date.now() / MINUTE) * MINUTE;
let playing = false;

const step = (): number => Number(stepField.value) * MINUTE;
const span = (): number => Number(spanField.value) * MINUTE;

/** `settled` resolves when the map has drawn the instant, so playback never runs ahead of it. */
export function attachTimeline(settled: (limitMs: number) => Promise<void>): void {
  slider.addEventListener("input", () => {
    stop();
    const minutes = Number(slider.value);
    if (minutes === 0) showTime(null);
    else showTime(end + minutes * MINUTE);
    go(minutes === 0 ? null : end + minutes * MINUTE);
  });
  byId("step-back").addEventListener("click", () => move(-1));
  byId("step-forward").addEventListener("click", () => move(1));
  byId("play").addEventListener("click", () => (playing ? stop() : void play(settled)));
  document.querySelectorAll<HTMLElement>("[data-live]").forEach((b) => b.addEventListener("click", () => {
    stop();
    update({ asOf: null, knownAsOn: null });
    byId("live").focus();
  }));
  attachOptions();
  subscribe((_, changed) => {
    if (changed.has("asOf") || changed.has("knownAsOn")) draw();
  });
  setInterval(tick, 10_000);
  new ResizeObserver(drawTicks).observe(byId("time-ticks"));
  draw();
}

function attachOptions(): void {
  const more = byId("time-more");
  const options = byId("time-options");
  const toggle = (open: boolean): void => {
    options.hidden = !open;
    more.setAttribute("aria-expanded", String(open));
  };
  more.addEventListener("click", () => toggle(Boolean(options.hidden)));
  byId("timeline").addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || options.hidden) return;
    event.stopPropagation();
    toggle(false);
    more.focus();
  });
  stepField.addEventListener("change", draw);
  spanField.addEventListener("change", draw);
  atField.addEventListener("change", () => {
    const at = fromLocal(atField.value);
    stop();
    if (at !== null) update({ asOf: at >= Date.now() ? null : at });
  });
  knownField.addEventListener("change", () => {
    const known = fromLocal(knownField.value);
    update({ knownAsOn: known, asOf: state().asOf ?? known });
  });
}

const go = debounce((asOf: number | null) => update({ asOf }), 140);

function move(direction: 1 | -1): void {
  stop();
  const from = state().asOf ?? end;
  // Onto whole steps of the city's clock.
  const base = startOfDay(from);
  const at = base + Math.round((from - base) / step() + direction * 0.51) * step();
  update({ asOf: at >= Date.now() ? null : at });
}

async function play(settled: (limitMs: number) => Promise<void>): Promise<void> {
  playing = true;
  drawPlay();
  if (state().asOf === null) update({ asOf: end - span() });
  while (playing) {
    await Promise.all([settled(4000), new Promise((done) => setTimeout(done, PLAY_PAUSE_MS))]);
    if (!playing) return;
    const at = (state().asOf ?? end) + step();
    if (at >= Date.now()) {
      stop();
      update({ asOf: null });
      return;
    }
    update({ asOf: at });
  }
}

function stop(): void {
  playing = false;
  drawPlay();
}

function drawPlay(): void {
  byId("play-label").textContent = t(playing ? "pause" : "play");
  byId("icon-play").hidden = playing;
  byId("icon-pause").hidden = !playing;
}

function tick(): void {
  if (state().asOf !== null) return;
  draw();
}

/** Slider, ticks, clock and the coloured band follow the state. */
function draw(): void {
  const { asOf, knownAsOn } = state();
  end = Math.floor(Date.now() / MINUTE) * MINUTE;
  if (asOf !== null && asOf < end - span()) {
    const wide = SPANS.find((minutes) => end - minutes * MINUTE <= asOf);
    if (wide) spanField.value = String(wide);
    else end = asOf + span() / 2;
  }
  slider.min = String(-span() / MINUTE);
  slider.step = stepField.value;
  slider.value = String(asOf === null ? 0 : Math.round((asOf - end) / MINUTE));
  drawTicks();
  showTime(asOf);
  byId("past-band").hidden = asOf === null && knownAsOn === null;
  byId("view").classList.toggle("is-past", asOf !== null || knownAsOn !== null);
  const time = formatInstant(asOf ?? Date.now());
  byId("past-text").textContent = knownAsOn === null ? t("past", { time }) : t("past-known", { time, known: formatInstant(knownAsOn) });
  byId("live").setAttribute("aria-pressed", String(asOf === null && knownAsOn === null));
  if (document.activeElement !== atField) atField.value = toLocal(asOf ?? end);
  atField.max = toLocal(Date.now());
  if (document.activeElement !== knownField) knownField.value = knownAsOn === null ? "" : toLocal(knownAsOn);
  if (!playing) announceTime(asOf);
}

let announced: number | null = null;

function announceTime(asOf: number | null): void {
  if (asOf === announced) return;
  announced = asOf;
  announce(asOf === null ? t("announce-live") : t("announce-past", { time: formatInstant(asOf) }));
}

function showTime(asOf: number | null): void {
  const at = asOf ?? Date.now();
  byId("time-clock").textContent = formatClock(at);
  byId("time-date").textContent = formatDay(at);
  slider.setAttribute("aria-valuetext", asOf === null ? t("announce-live") : formatInstant(at));
  const share = 1 + Number(slider.value) / (span() / MINUTE);
  slider.style.setProperty("--filled", `${(share * 100).toFixed(2)}%`);
}

/** Marks on the city's whole hours (one day) or midnights (longer). */
function drawTicks(): void {
  const start = end - span();
  const days = span() / (1440 * MINUTE);
  const room = Math.max(2, Math.floor(byId("time-ticks").clientWidth / TICK_PX));
  const hours = [2, 4, 6, 8, 12, 24, 48, 120, 240].find((n) => (days * 24) / n <= room) ?? 240;
  const every = hours * 60 * MINUTE;
  const marks: HTMLElement[] = [];
  for (let at = startOfDay(start); at <= end; at = every >= 1440 * MINUTE ? startOfDay(at + every + 2 * 60 * MINUTE) : at + every) {
    const share = (at - start) / span();
    if (share < 0.02 || share > 0.965) continue;
    const isMidnight = startOfDay(at) === at;
    const mark = h("span", { class: isMidnight ? "tick tick-day" : "tick" }, isMidnight ? formatDayShort(at) : formatClock(at));
    mark.style.left = `${share * 100}%`;
    marks.push(mark);
  }
  byId("time-ticks").replaceChildren(...marks);
}
