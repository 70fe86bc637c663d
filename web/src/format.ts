/** Numbers, units and dates as people of the page's language write them. */
import { hasMessage, locale, t } from "./i18n";
import type { Value } from "./types";

const zone = { timeZone: CITY.timezone } as const;
const clock = new Intl.DateTimeFormat(locale, { ...zone, hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat(locale, { ...zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayLong = new Intl.DateTimeFormat(locale, { ...zone, weekday: "short", day: "numeric", month: "short", year: "numeric" });
const dayShort = new Intl.DateTimeFormat(locale, { ...zone, weekday: "short", day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(locale, { ...zone, weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const short = new Intl.DateTimeFormat(locale, { ...zone, day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
const integer = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const digits = [0, 1, 2].map((n) => new Intl.NumberFormat(locale, { maximumFractionDigits: n }));

export const formatClock = (at: number): string => clock.format(at);
export const formatClockSeconds = (at: number): string => clockSeconds.format(at);
export const formatDay = (at: number): string => dayLong.format(at);
export const formatDayShort = (at: number): string => dayShort.format(at);
export const formatInstant = (at: number): string => full.format(at);
export const formatShort = (at: number): string => short.format(at);
export const formatCount = (n: number): string => integer.format(n);

/** "3 min fa", for an instant before `now`. */
export function formatAge(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1000);
  const [size, unit] = Math.abs(seconds) < 60 ? ([1, "second"] as const)
    : Math.abs(seconds) < 3600 ? ([60, "minute"] as const)
    : Math.abs(seconds) < 129_600 ? ([3600, "hour"] as const) : ([86_400, "day"] as const);
  return relative.format(Math.trunc(seconds / size), unit);
}

/** Up to two decimals, fewer when the number is large. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  return (digits[size >= 100 ? 0 : size >= 10 ? 1 : 2] ?? integer).format(value);
}

const UNITS: Record<string, string> = {
  "ug/m3": "µg/m³", "mg/m3": "mg/m³", Cel: "°C", "dB[SPL]": "dB", "m3/s": "m³/s", "kW.h": "kWh", deg: "°", "W/m2": "W/m²",
};

/** A UCUM code as it is written on a sign: `ug/m3` is µg/m³, `{vehicle}` is "veicoli". */
export function formatUnit(unit: string | null | undefined): string {
  if (!unit) return "";
  const noun = `unit-${unit.slice(1, -1)}`;
  return UNITS[unit] ?? (hasMessage(noun) ? t(noun) : unit.replace(/[{}]/g, ""));
}

/** The unit to write beside a label; none when the label says it already ("Veicoli", in veicoli). */
export function unitBeside(label: string, unit: string | null): string {
  const written = formatUnit(unit);
  return label.toLowerCase().includes(written.toLowerCase()) ? "" : written;
}

export function formatValue(value: Value | undefined, unit?: string | null): string {
  if (value === null || value === undefined) return t("none");
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  if (typeof value === "string") return value;
  const written = formatUnit(unit);
  return written ? `${formatNumber(value)}\u00A0${written}` : formatNumber(value);
}

/** The value of a key field: an averaging period as people write it, anything else as it is. */
export function formatPart(part: Value): string {
  const period = /^P(?:T(\d+)([MHS])|(\d+)D)$/.exec(String(part));
  if (!period) return formatValue(part);
  const [, n, unit, days] = period;
  return days ? `${Number(days) * 24} h` : `${n} ${unit === "H" ? "h" : unit === "M" ? "min" : "s"}`;
}

/** The quality flag in words; an unknown flag as it came. */
export function formatQuality(quality: string): string {
  const key = `quality-${quality}`;
  return hasMessage(key) ? t(key) : quality;
}
