import { parse } from "csv-parse/sync";
import { expect, test } from "vitest";
import { takePlainRecords } from "../../src/grid/table-records.ts";
import { randomFrom } from "../trees/random-trees.ts";

const pieces = ["a", "bb", "é", " ", "  ", "\t", "\f", "\u00a0", ",", ",", ";", "#", "'", "\\"];

/** Records with the line that each ends on. */
function byLibrary(text: string, delimiter: string): unknown[] {
  const records: unknown[] = [];
  parse(text, {
    bom: true,
    delimiter,
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
    on_record: (record, { lines }) => {
      records.push([lines, record]);
      return null;
    },
  });
  return records;
}

function plainly(text: string, delimiter: string): unknown[] | null {
  const records: unknown[] = [];
  const take = (cells: readonly string[], line: number) => records.push([line, [...cells]]);
  return takePlainRecords(text, delimiter, take, noLimit) ? records : null;
}

const noLimit = {
  most: Number.POSITIVE_INFINITY,
  lineBeyond: (line: number) => {
    throw new Error(`line ${line}`);
  },
};

test("a table without quotes has the same records as csv-parse finds in it", () => {
  const random = randomFrom(14);
  const pick = <T>(of: readonly T[]) => of[Math.floor(random() * of.length)] as T;
  for (let nth = 0; nth < 3000; nth += 1) {
    const lineEnd = pick(["\n", "\r\n"]);
    const delimiter = pick([",", ";", "\t"]);
    const lines = Array.from({ length: Math.floor(random() * 6) }, () =>
      Array.from({ length: Math.floor(random() * 7) }, () => pick(pieces)).join(""),
    );
    // csv-parse takes its line end from the first that it meets.
    const text = `${pick(["", "\uFEFF"])}x${delimiter}y${lineEnd}${lines.join(lineEnd)}${pick(["", lineEnd, lineEnd + lineEnd])}`;
    expect([text, plainly(text, delimiter)]).toEqual([text, byLibrary(text, delimiter)]);
  }
});

test("a table of too many records is refused before any is taken, by the line of the first that is too many", () => {
  const taken: number[] = [];
  const read = (most: number) =>
    takePlainRecords("a,b\n\n1,2\n\n3,4\n", ",", (_, line) => taken.push(line), { ...noLimit, most });
  expect(() => read(2)).toThrow("line 5");
  expect(taken).toEqual([]);
  expect(read(3)).toBe(true);
  expect(taken).toEqual([1, 3, 5]);
});

test("a table with quotes or several kinds of line ends is left to csv-parse", () => {
  for (const text of ['a,b\n"c",d\n', "a,b\r\nc,d\n", "a,b\nc,d\r\n", "a,b\rc,d\r"])
    expect([text, plainly(text, ",")]).toEqual([text, null]);
});
