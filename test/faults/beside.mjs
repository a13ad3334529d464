/** What became of the same faults with two tools, as a table in Markdown: what was promised first, then what was not. */
export function beside(ours, theirs) {
  const pairs = theirs.map((their) => [ours.find(({ fault }) => fault === their.fault), their]).filter(([our]) => our);
  const rows = pairs.map(([our, their]) => [our.fault, ...[our, their].flatMap(shown)]);
  const sum = (side) => shown(pairs.map((pair) => pair[side]).reduce(add));
  if (pairs.length > 0) rows.push(["**all**", ...sum(0), ...sum(1)]);
  const titles = ["overlaps", "losses not noticed", "losses noticed"];
  const head = [
    "fault",
    ...["trainlock run", "etcdctl lock"].flatMap((tool) => titles.map((title) => `${tool}: ${title}`)),
  ];
  const table = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...table.map((row) => String(row[column]).length)));
  const line = (cells, fill = " ") =>
    `| ${cells.map((cell, at) => String(cell).padEnd(widths[at], fill)).join(" | ")} |`;
  return [
    line(head),
    line(
      head.map(() => ""),
      "-",
    ),
    ...rows.map((row) => line(row)),
  ].join("\n");
}

function shown({ overlaps, unguarded, unnoticed, lost }) {
  const bad = (count) => (count === 0 ? 0 : `**${count}**`);
  return [bad(overlaps + unguarded), bad(unnoticed), lost];
}

function add(one, other) {
  const sum = { ...one };
  for (const key of ["overlaps", "unguarded", "unnoticed", "lost"]) sum[key] += other[key];
  return sum;
}
