/** Shorter, a beginning could go on as any word. */
const shortestBeginning = 3;

/** The word that somebody who typed `given` most likely meant, before others one that goes on from it; null when none is near. */
export function nearest(given: string, words: readonly string[]): string | null {
  const begun = given.toLowerCase();
  if (begun.replace(/^-+/, "").length >= shortestBeginning) {
    const longer = words.filter((word) => word.toLowerCase().startsWith(begun)).sort((a, b) => a.length - b.length);
    if (longer[0] !== undefined) return longer[0];
  }
  const ranked = words
    .map((word) => ({ word, away: distance(given.toLowerCase(), word.toLowerCase()) }))
    .sort((a, b) => a.away - b.away);
  const best = ranked[0];
  if (best === undefined || best.away > Math.max(1, Math.floor(best.word.length / 3))) return null;
  // Of one letter another one is no misspelling.
  return best.away < Math.max(given.length, best.word.length) ? best.word : null;
}

/** Letters to insert, delete or replace, or two neighbours to exchange: optimal string alignment. */
function distance(a: string, b: string): number {
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const exchanged =
        a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (above[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(replaced, exchanged, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    above = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
