/** Instants and the city's own clock. A `datetime-local` field has no zone: here it always means the city's. */

const parts = new Intl.DateTimeFormat("en-GB", {
  timeZone: CITY.timezone, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

/** Milliseconds that the city's clock is ahead of UTC at `instant` (epoch ms). */
export function zoneOffset(instant: number): number {
  const read = Object.fromEntries(parts.formatToParts(instant).map((p) => [p.type, Number(p.value)]));
  const wall = Date.UTC(read["year"] ?? 0, (read["month"] ?? 1) - 1, read["day"], read["hour"], read["minute"], read["second"]);
  return wall - Math.floor(instant / 1000) * 1000;
}

/** `2026-11-24T21:15` on the city's clock as epoch ms; null when it is not a date. An hour that does not exist (spring) is moved on, one that exists twice (autumn) is the first. */
export function fromLocal(text: string): number | null {
  const wall = Date.parse(`${text}Z`);
  if (Number.isNaN(wall)) return null;
  const guess = wall - zoneOffset(wall - 7_200_000);
  return zoneOffset(guess) === wall - guess ? guess : wall - zoneOffset(wall);
}

/** The value of a `datetime-local` field. */
export function toLocal(instant: number): string {
  return new Date(instant + zoneOffset(instant)).toISOString().slice(0, 16);
}

/** Start of the city's day that holds `instant`. */
export function startOfDay(instant: number): number {
  return fromLocal(`${toLocal(instant).slice(0, 10)}T00:00`) ?? instant;
}
