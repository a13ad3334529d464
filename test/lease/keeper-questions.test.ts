import { expect, test } from "vitest";
import type { Report } from "../../src/stores/lease/keeper-messages.ts";
import { lineOf } from "../../src/stores/lease/keeper-messages.ts";
import { KeeperQuestions } from "../../src/stores/lease/keeper-questions.ts";
import { tellQuestion } from "../../src/system/questions.ts";

/** Of a pipe, pipe(7). */
const pipeBytes = 65_536;

test("a keeper whose wrapper reads nothing reports no more than a pipe holds, and goes on when it was read", () => {
  const reports: Report[] = [];
  const questions = new KeeperQuestions((report) => reports.push(report));
  const ask = () =>
    tellQuestion(performance.now(), {
      asked: ["etcd", "POST", `node${"0".repeat(200)}:2379/v3/lease/keepalive`],
      ended: "HTTP 503",
      said: ["no leader ".repeat(10_000), "more"],
    });
  for (let count = 0; count < 1000; count += 1) ask();
  expect(reports).toHaveLength(1);
  questions.report();
  expect(reports).toHaveLength(2);
  for (let count = 0; count < 1000; count += 1) ask();
  expect(reports).toHaveLength(2);
  expect(reports.reduce((sum, report) => sum + Buffer.byteLength(lineOf(report)), 0)).toBeLessThan(pipeBytes / 2);
  questions.wasRead();
  expect(reports).toHaveLength(3);
  questions.wasRead();
  ask();
  expect(reports).toHaveLength(4);
  expect(reports[3]).toMatchObject({ say: "asked", questions: [{ ended: "HTTP 503", by: "lease keeper" }] });
});
