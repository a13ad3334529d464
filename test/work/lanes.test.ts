import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { noSettings, type Row } from "../../src/grid/grid.ts";
import { RemainingRows } from "../../src/work/remaining-rows.ts";

const rowOf = (name: string, settings = noSettings): Row => ({
  configuration: { strategy: name, dataset: "d", model: "m", ratio: null, auxLoss: null, stage: null, dimensions: {} },
  weightsDir: `/${name}`,
  settings,
  source: "grid.yaml:1",
  line: null,
});

/** Takes and settles rows in several lanes, while others refresh and replace, until nothing is left. */
async function trainAll(names: readonly string[], disturb: (rows: RemainingRows, nth: number) => void) {
  const trained: string[] = [];
  const rows = new RemainingRows(
    names.map((name) => rowOf(name)),
    {
      order: "grid",
      keyOf: ({ weightsDir }) => weightsDir,
      isQueued: () => false,
      // Every second one was done before the worker came.
      look: async ({ configuration: { strategy } }) => {
        await sleep(Math.random());
        return { kind: trained.includes(strategy) || strategy.startsWith("done") ? "done" : "trainable" };
      },
    },
  );
  let nth = 0;
  const lane = async () => {
    for (;;) {
      disturb(rows, nth);
      nth += 1;
      const row = await rows.take();
      if (row === null) return;
      await sleep(Math.random());
      trained.push(row.configuration.strategy);
      rows.settle(row, "done");
    }
  };
  await Promise.all([lane(), lane(), lane()]);
  return trained.sort();
}

const names = Array.from({ length: 120 }, (_, index) => `${index % 2 === 0 ? "done" : "open"}${index}`);
const open = names.filter((name) => name.startsWith("open")).sort();

test("no row is lost or taken twice where one lane refreshes while another looks", async () => {
  expect(await trainAll(names, (rows, nth) => nth % 3 === 0 && rows.refresh())).toEqual(open);
});

test("nor where the grid changes meanwhile; what is taken out is not started, what comes in is", async () => {
  const later = [...names.filter((name) => name !== "open119"), "open200"];
  const trained = await trainAll(names, (rows, nth) => {
    // Of other settings, so that all is looked at anew.
    if (nth % 5 === 1) rows.replace(later.map((name) => rowOf(name, { ...noSettings, maxAttempts: nth })));
  });
  expect(trained).toEqual([...open.filter((name) => name !== "open119"), "open200"].sort());
});
