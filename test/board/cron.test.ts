import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable } from "../support/trainlock.ts";

test("the line of cron writes the page and prints nothing, without a PATH or a root of ours; problems alone are printed", async () => {
  const root = await temporaryRoot();
  const grid = join(root, "grid.yaml");
  writeFileSync(grid, "- { strategy: a, dataset: b, model: c }\n");
  mkdirSync(join(root, "public_html"));
  const page = readFileSync(new URL("../../docs/board.md", import.meta.url), "utf8");
  const line = (/^\*\/10 \* \* \* \* (.*)$/m.exec(page)?.[1] ?? "")
    .replace("/shared/tools/bin/trainlock", executable)
    .replace("/shared/grid.yaml", grid)
    .replace("/shared/project", root);
  const cron = () => finish("sh", ["-c", line], { cwd: "/", env: { HOME: root, PATH: "/usr/bin:/bin" } });
  expect(await cron()).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
  expect(readFileSync(join(root, "public_html", "board.html"), "utf8")).toContain("<b>0</b> of <b>1</b> done");
  writeFileSync(grid, "- { strategy: a\n");
  expect(await cron()).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(grid) });
});
