/** More nodes than any job has: a list that names more is not believed. */
const mostNodes = 20_000;

/** `node[01-03,7],login` as names; `(null)` and `None assigned` as none. */
export function expandNodes(list: string): string[] {
  const names: string[] = [];
  for (const [item = ""] of list.matchAll(/(?:[^,[\]]|\[[^\]]*\])+/g)) {
    const [, before = "", ranges, after = ""] = /^([^[]*)(?:\[([^\]]*)\])?(.*)$/.exec(item) ?? [];
    if (ranges === undefined) names.push(before);
    else for (const number of ranges.split(",").flatMap(expandRange)) names.push(`${before}${number}${after}`);
    if (names.length > mostNodes) return [];
  }
  return names;
}

function expandRange(range: string): string[] {
  const [, from, to] = /^(\d+)(?:-(\d+))?$/.exec(range) ?? [];
  if (from === undefined) return [];
  const first = Number(from);
  const last = Math.min(Number(to ?? from), first + mostNodes);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => String(first + i).padStart(from.length, "0"));
}
