import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { trainlock } from "../support/trainlock.ts";

const project = resolve(import.meta.dirname, "../..");

function manifest(name: string): { version: string; dependencies?: Record<string, string> } {
  return JSON.parse(readFileSync(join(project, "node_modules", name, "package.json"), "utf8"));
}

/** A package with all that it brings along. */
function withDependencies(name: string): string[] {
  return [name, ...Object.keys(manifest(name).dependencies ?? {}).flatMap(withDependencies)];
}

/** The packages that sources import, without Node's and Bun's own modules. */
function imported(): string[] {
  const pattern = '(from|import\\(|require\\() ?"[^".][^"]*"';
  const found = execFileSync("git", ["grep", "-hoE", pattern, "--", "src"], { cwd: project, encoding: "utf8" });
  const names = [...found.matchAll(/"([^"]+)"/g)].map(([, name = ""]) => name);
  return names.filter((name) => !/^(node:|#|bun(:|$))/.test(name)).map((name) => name.split("/")[0] ?? "");
}

test("the executable prints the licence of each part of it: its own, its runtime's with all that is in it, each package's", async () => {
  // The library on Node alone has koffi.
  const packages = imported().filter((name) => name !== "koffi");
  expect(packages).toContain("valibot");
  const { stdout } = await trainlock(["licenses"]);
  const titles = [...stdout.matchAll(/^== (.+) ==$/gm)].map(([, title]) => title);
  expect(titles.sort()).toEqual(["Bun", "trainlock", ...new Set(packages.flatMap(withDependencies))].sort());
  for (const part of ["JavaScriptCore", "boringssl", "tinycc", "zlib-ng"]) expect(stdout).toContain(part);
  expect(stdout).toContain(readFileSync(join(project, "LICENSE"), "utf8").trim());
});

test("what it prints of its runtime is of the very version that is built in", () => {
  expect(manifest("bun-types").version).toBe(manifest("bun").version);
});
