const round = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

/**
 * Prints each row's median, its quickest round, and the ratio of its median to that of the first row, which is trainlock;
 * then how far that one is from its limit: the row that does the least that has to be done.
 */
export function printTable(title, unit, results, limit) {
  const rows = [...results];
  const [[own, first]] = rows;
  const width = Math.max(...rows.map(([what]) => what.length));
  console.log(`\n${title}`);
  console.log(`  ${"".padEnd(width)}  ${"median".padStart(8)}    ${"quickest".padStart(8)}    ${"ratio".padStart(8)}`);
  for (const [what, { median, quickest }] of rows) {
    const cells = [`${round(median).padStart(8)} ${unit}`, `${round(quickest).padStart(8)} ${unit}`];
    console.log(`  ${what.padEnd(width)}  ${cells.join(" ")}  ${round(median / first.median).padStart(8)}`);
  }
  const least = results.get(limit).median;
  const [times, more] = [round(first.median / least), round(first.median - least)];
  console.log(`  ${own} from its limit, ${limit}: ${times} times, ${more} ${unit} more`);
}
