import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithRun, trainlock } from "../support/trainlock.ts";

const page = readFileSync(fileURLToPath(new URL("../../docs/json.md", import.meta.url)), "utf8");

/** The page's examples by their names. */
const documented = new Map<string, unknown>(
  [...page.matchAll(/<!-- json: ([^>]+) -->\s*```json\n([\s\S]*?)```/g)].map(([, name = "", text = ""]) => [
    name,
    JSON.parse(text),
  ]),
);

const parts = new Set(["holder", "lock", "configuration", "past run"]);
/** Their keys are the site's own. */
const open = new Set(["configuration.dimensions", "trainlock.scheduler", "settings[].value"]);

/** The keys of an example, as paths: `locks[].holder?.pid`. `"<lock>"` stands for another example. */
function keysOf(value: unknown, path = ""): Set<string> {
  if (typeof value === "string" && /^<[\w ]+>$/.test(value)) return keysOf(documented.get(value.slice(1, -1)), path);
  if (Array.isArray(value)) return new Set(value.flatMap((each) => [...keysOf(each, `${path}[]`)]));
  if (typeof value !== "object" || value === null) return new Set();
  return new Set(
    Object.entries(value).flatMap(([key, inner]) => {
      const own = path === "" ? key : `${path}.${key}`;
      return [own, ...keysOf(inner, own)];
    }),
  );
}

/** What the page says of a real document that is not so, and what the document has and the page does not say. */
function differences(name: string, documents: readonly unknown[]): string[] {
  const example = keysOf(documented.get(name));
  const always = [...example].filter((key) => !key.includes("?"));
  const all = new Set([...example].map((key) => key.replaceAll("?", "")));
  const isOpen = (key: string) => [...open].some((prefix) => key.includes(`${prefix}.`));
  const real = new Set(documents.flatMap((each) => [...keysOf(each)]));
  const unknown = [...real].filter((key) => !all.has(key) && !isOpen(key));
  const missing = documents.flatMap((each) => {
    const has = keysOf(each);
    // What is null or empty has no keys inside.
    const parent = (key: string) => key.replace(/(\[\])*\.?[^.[]+$/, "");
    const reached = (key: string) =>
      parent(key) === "" ||
      [...has].some((other) => other.startsWith(`${parent(key)}[`) || other.startsWith(`${parent(key)}.`));
    return always.filter((key) => !has.has(key) && reached(key));
  });
  return [...unknown.map((key) => `not on the page: ${key}`), ...missing.map((key) => `not in the document: ${key}`)];
}

/** One site in which each command has something to say. */
async function stage(): Promise<ReadonlyMap<string, readonly unknown[]>> {
  const seen = new Map<string, unknown[]>();
  const root = await temporaryRoot();
  const add = (name: string, document: unknown) => seen.set(name, [...(seen.get(name) ?? []), document]);
  const ask = async (name: string, ...args: string[]) => {
    const { stdout, stderr } = await trainlock([...args, "--root", root, "--json"], { timeoutMs: 60_000 });
    expect(stdout, stderr).not.toBe("");
    const document: unknown = JSON.parse(stdout);
    add(name, document);
    return document;
  };
  const read = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
  const [trained, failed, held] = ["trained", "failed", "held"].map((strategy) => configuration(root, strategy));
  if (trained === undefined || failed === undefined || held === undefined) throw new Error("three configurations");
  writeFileSync(join(root, "trainlock.yaml"), "scheduler: none\n");
  writeFileSync(
    join(root, "grid.yaml"),
    "- { strategy: [trained, failed, held], dataset: IDD-AW, model: deeplabv3plus_r50 }\n",
  );
  const status = join(root, "status.json");
  const train = 'echo weights > "$TRAINLOCK_WEIGHTS_DIR/iter_100.pth"';
  const checkpoint = ["--done-file", "trained.json", "--status", status];
  await trainlock(["run", ...trained.args, ...checkpoint, "--", "sh", "-c", train]);
  add("status", read(status));
  add("done", read(join(trained.weightsDir, "trained.json")));
  add("record", read(trained.kernelLock));
  add("record", read(trained.markerRecord));
  await ask("check", "check", ...trained.args.slice(2), "--done-file", "trained.json");
  await trainlock([
    "work",
    join(root, "grid.yaml"),
    "--root",
    root,
    "--strategy",
    "failed",
    "--",
    "sh",
    "-c",
    "exit 1",
  ]);
  const holder = await holdWithRun(held.args);
  await trainlock(["run", ...held.args, "--status", status, "--", "true"]);
  add("status", read(status));
  add("record", read(held.kernelLock));
  const inside = `${executable} held --json; ${executable} held --json --generation 99`;
  const both = await trainlock(["run", ...failed.args, "--", "sh", "-c", inside]);
  for (const text of both.stdout.split(/^(?=\{)/m)) add("held", JSON.parse(text));
  await ask("held", "held", ...held.args.slice(2), "--generation", String(holder.generation));
  await ask("check", "check", ...held.args.slice(2));
  await ask("plan", "plan", join(root, "grid.yaml"), "--done-file", "trained.json");
  for (const of of [failed, held]) await ask("why", "why", of.name, "--grid", join(root, "grid.yaml"));
  await ask("history", "history");
  await ask("history prune", "history", "prune", "--keep", "1mo");
  await ask("doctor", "doctor");
  await ask("config", "config");
  await ask("config", "config", ...held.args.slice(2));
  await ask("clear", "clear");
  await ask("clear", "clear", ...trained.args.slice(2), "--reset-generation");
  mkdirSync(configuration(root, "free").kernelLock, { recursive: true });
  await ask("clear --repair", "clear", ...configuration(root, "free").args.slice(2), "--repair");
  mkdirSync(join(root, "WEIGHTS", "private"));
  chmodSync(join(root, "WEIGHTS", "private"), 0);
  symlinkSync("/", join(root, "WEIGHTS", "elsewhere"));
  await ask("list", "list");
  await ask("clear", "clear");
  add("error", JSON.parse((await trainlock(["list", "--json", "--root", join(root, "gone")])).stdout));
  holder.closeInput();
  await holder.finished;
  return seen;
}

test("docs/json.md has an example of every document, with the keys that commands print and files have", async () => {
  const seen = await stage();
  const names = [...documented.keys()].filter((name) => !parts.has(name));
  expect([...seen.keys()].sort()).toEqual([...names].sort());
  const different = names.map((name) => [name, differences(name, seen.get(name) ?? [])]);
  expect(different.filter(([, found]) => found?.length !== 0)).toEqual([]);
}, 120_000);
