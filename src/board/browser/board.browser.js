// The page without this script shows the same rows. The script keeps it up to date, and filters and sorts without a request.
const root = document.documentElement;
const live = root.dataset.mode === "live";
const sections = ["summary", "stuck", "running", "lately", "matrix", "rest"];
const life = document.getElementById("life");
const find = document.getElementById("find");
let at = Number(root.dataset.at);
let version = root.dataset.version;
let heardMs = Date.now();
let sorted = null;
root.classList.add("scripted");

const minute = 60;
const units = [
  [86400, "d"],
  [3600, "h"],
  [minute, "min"],
];
/** As the server writes ages: the two largest units, and no seconds. */
function age(seconds) {
  if (seconds < minute) return "under 1 min";
  const counts = units.map(([size, unit], index) => {
    const rest = index === 0 ? seconds : seconds % units[index - 1][0];
    return [Math.floor(rest / size), unit];
  });
  const first = counts.findIndex(([count]) => count > 0);
  const shown = counts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}
/** Ages grow on the clock of the server: this computer's may be wrong. */
function tick() {
  const silent = (Date.now() - heardMs) / 1000;
  for (const time of document.querySelectorAll("time[data-t]")) {
    const text = age(Math.max(0, Math.floor(at + silent) - Number(time.dataset.t)));
    if (time.textContent !== text) time.textContent = text;
  }
  if (live) setOld(silent > 45, `no answer for ${age(silent)}: these numbers are old`);
  else {
    const passed = Date.now() / 1000 - at;
    const interval = Number(root.dataset.interval);
    setOld(passed > 2 * interval, `${age(passed)} old: these numbers may be wrong`);
  }
}
const alive = life.textContent;
function setOld(old, text) {
  root.classList.toggle("old", old);
  root.classList.toggle("live", live && !old);
  const said = old ? text : alive;
  if (life.textContent !== said) life.textContent = said;
}

// Filter: hides what does not have all words.
function words() {
  return find.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
}
function filter() {
  const wanted = words();
  const { value: state, selectedOptions } = find.elements.state;
  const classes = selectedOptions[0]?.dataset.classes ?? "";
  const fits = (node, text) =>
    (classes === "" || classes.includes(node.classList[0])) &&
    wanted.every((word) => text.toLowerCase().includes(word));
  for (const row of document.querySelectorAll("#stuck .cards > li, #running tbody tr, #rest tbody tr"))
    row.hidden = !fits(row, row.textContent);
  const all = wanted.length === 0 && classes === "";
  for (const table of document.querySelectorAll("#matrix table")) {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    let any = false;
    for (const line of table.tBodies[0].rows) {
      let some = false;
      [...line.cells].slice(1).forEach((cell, index) => {
        const about = [table.caption.textContent, line.cells[0].textContent, heads[index + 1], cell.textContent];
        const shown = all || (cell.className !== "" && fits(cell, about.join(" ")));
        cell.style.visibility = shown ? "" : "hidden";
        some ||= shown;
      });
      line.hidden = !some;
      any ||= some;
    }
    table.parentElement.hidden = !any;
  }
  for (const link of document.querySelectorAll(".counts a")) {
    if (link.dataset.state === state) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

// Sort: by the values that the server wrote, else by the text.
function sort() {
  if (sorted === null) return;
  for (const table of document.querySelectorAll("#running table, #rest table")) {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.textContent === sorted.by);
    for (const head of heads) head.removeAttribute("aria-sort");
    if (column < 0) continue;
    heads[column].setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    const value = (row) => {
      const cell = row.cells[column];
      const time = cell.querySelector("[data-t]");
      if (time !== null) return Number(time.dataset.t);
      return cell.querySelector("progress")?.value ?? cell.textContent;
    };
    const sign = sorted.down ? -1 : 1;
    const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
    rows.sort(([a], [b]) => {
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }
}
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-sort], a[data-state]");
  if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.state !== undefined) {
    const { state } = find.elements;
    state.value = state.value === link.dataset.state ? "" : link.dataset.state;
    filter();
    return;
  }
  const by = link.textContent;
  sorted = { by, down: sorted?.by === by && !sorted.down };
  sort();
});
find.addEventListener("input", (event) => {
  if (["find", "state"].includes(event.target.name)) filter();
  else find.requestSubmit();
});
find.addEventListener("submit", (event) => {
  if (!live) event.preventDefault();
});
find.querySelector("button").classList.add("submit");

function offerCopies() {
  // Only where the browser lets a page write the clipboard.
  if (!navigator.clipboard) return;
  for (const pre of document.querySelectorAll(".cards pre")) {
    if (pre.previousElementSibling?.className === "copy") continue;
    const button = document.createElement("button");
    button.className = "copy";
    button.textContent = "Copy";
    const name = pre.closest("li").querySelector("h3").textContent;
    button.setAttribute("aria-label", `Copy the command for ${name}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(pre.textContent);
      button.textContent = "Copied";
    });
    pre.before(button);
  }
}

// New numbers: sections that differ are put in place; rows that do not differ stay what they are.
const known = new Map(sections.map((id) => [id, document.getElementById(id).innerHTML]));
function place(next) {
  const place = document.activeElement?.closest("[id]")?.id;
  const focusables = "a, summary, pre, button, input, select, [tabindex]";
  const owner = place ? document.getElementById(place) : null;
  const index = owner ? [...owner.querySelectorAll(focusables)].indexOf(document.activeElement) : -1;
  for (const id of sections) {
    const section = next.getElementById(id);
    if (section === null || section.innerHTML === known.get(id)) continue;
    known.set(id, section.innerHTML);
    const old = document.getElementById(id);
    const scrolled = [...old.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
    const before = new Map([...old.querySelectorAll("[id]")].map((row) => [row.id, row.className]));
    old.replaceChildren(...document.importNode(section, true).childNodes);
    for (const row of old.querySelectorAll("[id]")) {
      if (id !== "rest" && before.size > 0 && before.get(row.id) !== row.className) row.classList.add("changed");
    }
    old.querySelectorAll(".scroll").forEach((each, at) => {
      each.scrollLeft = scrolled[at] ?? 0;
    });
  }
  offerCopies();
  sort();
  filter();
  const again = place ? document.getElementById(place) : null;
  const target = index < 0 ? again : again?.querySelectorAll(focusables)[index];
  if (target && target !== document.activeElement) target.focus({ preventScroll: true });
}
async function refresh() {
  const response = await fetch(location.href.replace(/#.*/, ""), { cache: "no-store" });
  if (!response.ok) return;
  const next = new DOMParser().parseFromString(await response.text(), "text/html");
  version = next.documentElement.dataset.version;
  const news = next.title === document.title ? "" : next.title;
  document.title = next.title;
  place(next);
  heard(Number(next.documentElement.dataset.at), next.querySelector("#asof time").textContent);
  if (news !== "") document.getElementById("news").textContent = news;
}
function heard(seconds, text) {
  at = seconds;
  heardMs = Date.now();
  const time = document.querySelector("#asof time");
  if (text) time.textContent = text;
  tick();
}
let events = null;
function listen() {
  if (!live || events !== null) return;
  events = new EventSource("events");
  events.addEventListener("scan", (event) => {
    const told = JSON.parse(event.data);
    if (told.version === version) heard(told.at, told.time);
    else refresh().catch(() => undefined);
  });
}
// A page that nobody sees for a while is no viewer.
let hiding;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.visibilityState === "visible") listen();
  else
    hiding = setTimeout(() => {
      events?.close();
      events = null;
    }, 60000);
});

offerCopies();
filter();
tick();
setInterval(tick, 5000);
listen();
