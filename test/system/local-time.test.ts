import { expect, test } from "vitest";
import { localIso } from "../../src/system/clock/local-time.ts";

test.each([
  [0, "00.000000"],
  [1, "00.000001"],
  [1_768_232_969_536_651, "29.536651"],
  [-1, "59.999999"],
  [-500_000, "59.500000"],
  [-1_000_000, "59.000000"],
  [-1_500_000, "58.500000"],
  [4_300_000_000_250_000, "40.250000"],
])("%s microseconds after 1970 is a time that Python reads", (microseconds, end) => {
  expect(localIso(microseconds)).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:${end}$`));
});
