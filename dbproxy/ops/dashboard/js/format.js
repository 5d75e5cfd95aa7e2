// Numbers, durations and sizes as text, in the language of the page.

import { languageTag, text } from "./i18n.js";

/** What stands where there is no number. */
export const NONE = "–";

const formats = new Map();

// making a formatter costs far more than using it
function format(kind, make) {
  const key = `${languageTag()} ${kind}`;
  if (!formats.has(key)) formats.set(key, make(languageTag()));
  return formats.get(key);
}

const missing = (value) => value === null || value === undefined || Number.isNaN(value);

function decimals(value, digits) {
  return format(digits, (tag) => new Intl.NumberFormat(tag, { minimumFractionDigits: digits, maximumFractionDigits: digits })).format(
    value,
  );
}

/** A count. */
export function count(value) {
  return missing(value) ? NONE : decimals(value, 0);
}

/** Events per second: one decimal below 100, so that a rare event is not shown as none. */
export function rate(value) {
  if (missing(value)) return NONE;
  if (value > 0 && value < 0.05) return `< ${decimals(0.1, 1)}`;
  return decimals(value, value === 0 || value >= 100 ? 0 : 1);
}

/** A number with three significant digits, as far as they are behind the point. */
export function decimal(value) {
  if (missing(value)) return NONE;
  return decimals(value, value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/** A duration of milliseconds to minutes, from seconds. */
export function duration(seconds) {
  if (missing(seconds)) return NONE;
  if (seconds === 0) return "0 ms";
  if (seconds < 1) return `${decimal(seconds * 1000)} ms`;
  if (seconds < 120) return `${decimal(seconds)} s`;
  return age(seconds);
}

/** A quantile of a histogram: a duration, or "> the last bound". */
export function quantileDuration(seconds, bounds) {
  return seconds === Infinity ? `> ${duration(bounds.at(-1))}` : duration(seconds);
}

/** A long duration in its two largest units, from seconds. */
export function age(seconds) {
  if (missing(seconds)) return NONE;
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86400), "unit.days"],
    [Math.floor(whole / 3600) % 24, "unit.hours"],
    [Math.floor(whole / 60) % 60, "unit.minutes"],
    [whole % 60, "unit.seconds"],
  ];
  const found = parts.findIndex(([number]) => number > 0);
  const first = found < 0 ? parts.length - 1 : found;
  return parts
    .slice(first, first + 2)
    .map(([number, unit]) => text(unit, { n: number }))
    .join(" ");
}

/** A size. */
export function bytes(value) {
  if (missing(value)) return NONE;
  for (const [unit, size] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ]) {
    if (value >= size) return `${decimal(value / size)} ${unit}`;
  }
  return `${decimals(value, 0)} B`;
}

/** Bytes per second. */
export function byteRate(value) {
  return missing(value) ? NONE : `${bytes(value)}/s`;
}

/** A moment (Unix seconds) in the reader's time zone: the time, with the day if it is not today. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  if (date.toDateString() === new Date().toDateString()) {
    return format("time", (tag) => new Intl.DateTimeFormat(tag, time)).format(date);
  }
  return format("day", (tag) => new Intl.DateTimeFormat(tag, { month: "2-digit", day: "2-digit", ...time })).format(date);
}

/** Used of a limit, as "3 / 16". */
export function ofLimit(used, limit) {
  return `${count(used)} / ${count(limit)}`;
}
