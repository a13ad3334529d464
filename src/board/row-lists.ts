import { quietMs } from "../progress/progress.ts";
import { type BoardRow, percentOf, stuckStates } from "./board-row.ts";
import { escapeHtml, nameHtml } from "./html.ts";
import type { Snapshot } from "./snapshot.ts";
import { stateClass } from "./state-words.ts";
import { ageHtml, clockText } from "./times.ts";
import type { SortKey, View } from "./view.ts";

/** More cards than these nobody reads; the others are counted. */
const mostCards = 100;

type Seen = Pick<Snapshot, "isMade" | "problems">;

/** That nothing was found is said of what could be looked at alone. */
function noneHtml(none: string, { isMade, problems }: Seen): string {
  if (!isMade) return "<p>Not known.</p>";
  return problems.length === 0 ? `<p class=calm>${none}.</p>` : `<p>${none} in what could be looked at.</p>`;
}

/** What somebody has to look at: who has it, why it is called so, and what to type. */
export function stuckHtml(rows: readonly BoardRow[], nowMs: number, seen: Seen): string {
  const stuck = rows.filter(({ state }) => stuckStates.includes(state));
  if (stuck.length === 0) return `<h2>Needs attention</h2>\n${noneHtml("Nothing is stuck", seen)}`;
  const cards = stuck.slice(0, mostCards).map((row) => cardHtml(row, nowMs));
  const more = stuck.length > mostCards ? `<p>And ${stuck.length - mostCards} more: filter to see them.</p>` : "";
  return `<h2>Needs attention <span class=n>${stuck.length}</span></h2>\n<ul class=cards>${cards.join("\n")}</ul>${more}`;
}

function cardHtml(row: BoardRow, nowMs: number): string {
  const { id, state, name, why, evidence, lastLines, log, command, sinceMs } = row;
  const since = sinceMs === null ? "" : `since ${clockText(sinceMs, nowMs)} (${ageHtml(sinceMs, nowMs)})`;
  const facts = [holderText(row), since, progressText(row)].filter((text) => text !== "");
  const last = lastLines.at(-1);
  const said = [
    ...(last === undefined ? [] : [`its log ends with: ${last}`]),
    ...(log === null ? [] : [`log: ${log}`]),
  ];
  const findings = [...evidence, ...said].map((line) => `<li>${escapeHtml(line)}`).join("");
  return (
    `<li id=${id} class=${stateClass[state]} tabindex=-1><h3><b>${state}</b> ${nameHtml(name)}</h3>` +
    (facts.length === 0 ? "" : `<p class=who>${facts.join(" · ")}</p>`) +
    `<p class=why>${escapeHtml(why)}</p>` +
    (findings === "" ? "" : `<ul class=found>${findings}</ul>`) +
    (command === null ? "" : `<pre tabindex=0><code>${escapeHtml(command)}</code></pre>`)
  );
}

function holderText({ who, where }: BoardRow): string {
  const parts = [who === null ? "" : `<strong>${escapeHtml(who)}</strong>`, where === null ? "" : escapeHtml(where)];
  return parts.filter((text) => text !== "").join(", ");
}

function progressText(row: BoardRow): string {
  if (row.step === null) return "";
  const percent = percentOf(row);
  const steps = row.of === null ? `step ${row.step}` : `${row.step}/${row.of}`;
  return percent === null ? steps : `${percent} % <small>${steps}</small>`;
}

const heads: readonly (readonly [SortKey, string])[] = [
  ["name", "Configuration"],
  ["who", "Who"],
  ["since", "Since"],
  ["progress", "Progress"],
  ["sign", "Last sign"],
];

/** Who trains what, how far it is, and when it last said so. */
export function runningHtml(
  rows: readonly BoardRow[],
  view: View,
  address: (sort: SortKey) => string,
  { atMs: nowMs, ...seen }: Pick<Snapshot, "atMs" | keyof Seen>,
): string {
  const running = rows.filter(({ state }) => state === "running");
  const title = `<h2 id=running-title>Running <span class=n>${running.length}</span></h2>`;
  if (running.length === 0) return `${title}\n${noneHtml("Nobody trains anything", seen)}`;
  const head = heads
    .map(([key, text]) => {
      const sorted = view.sort === key ? " aria-sort=ascending" : "";
      return `<th scope=col${sorted}><a href="${address(key)}" data-sort>${text}</a>`;
    })
    .join("");
  const lines = running.map((row) => runningLine(row, nowMs));
  return (
    `${title}\n<table class=wide aria-labelledby=running-title><thead><tr>${head}</thead>\n` +
    `<tbody>${lines.join("\n")}</tbody></table>`
  );
}

function runningLine(row: BoardRow, nowMs: number): string {
  const { id, name, who, where, sinceMs, signMs } = row;
  const percent = percentOf(row);
  const bar = percent === null ? "" : `<progress value=${percent / 100} aria-hidden=true></progress> `;
  const since = sinceMs === null ? "" : `${ageHtml(sinceMs, nowMs)} <small>since ${clockText(sinceMs, nowMs)}</small>`;
  const place = where === null ? "" : ` <small>${escapeHtml(where)}</small>`;
  const cells = [
    nameHtml(name),
    `${escapeHtml(who ?? "not known")}${place}`,
    since,
    `${bar}${progressText(row)}`,
    signHtml(signMs, nowMs),
  ];
  return `<tr id=${id} class=r tabindex=-1>${cells.map((html) => `<td>${html}`).join("")}`;
}

/** Silence is said, and is no sign of an end. */
function signHtml(signMs: number | null, nowMs: number): string {
  if (signMs === null) return "<small>none known</small>";
  const silent = quietMs({ step: 0, of: null, source: "", at: new Date(signMs).toISOString() }, nowMs);
  return silent === null ? `${ageHtml(signMs, nowMs)} ago` : `<b class=quiet>quiet for ${ageHtml(signMs, nowMs)}</b>`;
}

/** All others, a line each: what is queued, blocked, free and done. */
export function restHtml(rows: readonly BoardRow[], address: (sort: SortKey) => string, seen: Seen): string {
  const rest = rows.filter(({ state }) => state !== "running" && !stuckStates.includes(state));
  const title = `<h2 id=rest-title>Everything else <span class=n>${rest.length}</span></h2>`;
  if (rest.length === 0) return `${title}\n${noneHtml("There is nothing else", seen)}`;
  const lines = rest.map(
    ({ state, name, why }) =>
      `<tr class=${stateClass[state]}><td>${state}<td>${escapeHtml(name)}<td>${escapeHtml(why)}`,
  );
  return (
    `${title}\n<table class=list aria-labelledby=rest-title><thead><tr><th scope=col>State` +
    `<th scope=col><a href="${address("name")}" data-sort>Configuration</a><th scope=col>Detail</thead>\n` +
    `<tbody>${lines.join("\n")}</tbody></table>`
  );
}
