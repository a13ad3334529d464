const round = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

/** A number that says how much quicker or slower than the first row. */
const ratio = (value, of) => `${round(value / of)} ×`;

/**
 * Prints medians with their ratios to the first row, which is trainlock, and how far that one is from its limit: the row
 * that does the least that has to be done.
 */
export function printTable(title, unit, medians, limit) {
  const rows = [...medians];
  const [[own, ownMedian]] = rows;
  const width = Math.max(...rows.map(([what]) => what.length));
  console.log(`\n${title}`);
  for (const [what, value] of rows) {
    console.log(`  ${what.padEnd(width)}  ${round(value).padStart(8)} ${unit}  ${ratio(value, ownMedian).padStart(8)}`);
  }
  const least = medians.get(limit);
  console.log(
    `  from its limit: ${own} takes ${ratio(ownMedian, least)} what ${limit} takes, ${round(ownMedian - least)} ${unit} more`,
  );
}
