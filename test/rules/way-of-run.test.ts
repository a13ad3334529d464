import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const src = fileURLToPath(new URL("../../src", import.meta.url));

/** The files that a file imports when it runs, now or later. Types are gone by then. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  const found = [
    ...text.matchAll(/^(?:import|export) (?!type )[^;"]*?from "(\.[^"]+\.ts)"/gm),
    ...text.matchAll(/^import "(\.[^"]+\.ts)"/gm),
    ...text.matchAll(/\bimport\("(\.[^"]+\.ts)"\)/g),
  ];
  return found.flatMap(([, path]) => (path === undefined ? [] : [join(dirname(file), path)]));
}

/** Every file that may be loaded from these on, without a file that `stopAt` names going any further. */
function reached(from: readonly string[], stopAt: string): ReadonlySet<string> {
  const seen = new Set<string>();
  const open = from.map((path) => join(src, path));
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (seen.has(file) || file === join(src, stopAt)) continue;
    seen.add(file);
    open.push(...importsOf(file));
  }
  return new Set([...seen].map((file) => relative(src, file)));
}

test("run loads nothing of doctor, which the command doctor does", () => {
  // This file names every command, and loads the one that is called.
  const way = (command: string) => reached(["cli/main.ts", `cli/commands/${command}.ts`], "cli/commands.ts");
  const doctorOn = (files: ReadonlySet<string>) => [...files].filter((file) => file.startsWith("doctor/"));
  const run = way("run");
  for (const file of ["run/run-command.ts", "stores/lease/remote-store.ts", "evidence/remote/ask-host.ts"])
    expect(run).toContain(file);
  expect(doctorOn(run)).toEqual([]);
  expect(doctorOn(way("doctor"))).toContain("doctor/doctor.ts");
});
