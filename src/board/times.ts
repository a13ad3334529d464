import { durationText } from "../model/durations.ts";

const minuteMs = 60_000;

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `14:02`, and the day before it where it is another one: `Nov 24, 14:02`. */
export function clockText(ms: number, nowMs: number): string {
  const date = new Date(ms);
  const now = new Date(nowMs);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (date.toDateString() === now.toDateString()) return time;
  const year = date.getFullYear() === now.getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${months[date.getMonth()]} ${date.getDate()}${year}, ${time}`;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}

/** `3 h 5 min`; nobody needs seconds, which would make each page another one. */
export function ageText(ms: number, nowMs: number): string {
  const passed = nowMs - ms;
  return passed < minuteMs ? "under 1 min" : durationText(Math.floor(passed / minuteMs) * minuteMs);
}

/** The age of a moment, which the page's script keeps up to date. */
export function ageHtml(ms: number, nowMs: number): string {
  return `<time data-t=${Math.round(ms / 1000)}>${ageText(ms, nowMs)}</time>`;
}
