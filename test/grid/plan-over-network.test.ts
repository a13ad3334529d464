import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { type FileReading, readRegularFile, readRegularFileSoon } from "../../src/system/files/read-regular-file.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, holdWithRun, killWithCommand, run, trainlock } from "../support/trainlock.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

const folderOf = (root: string, strategy: string) => join(root, "WEIGHTS", strategy, "d_cd", "m");

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** A row of every kind: what is in its folder, in its lock file and in its record. */
async function makeRows(root: string): Promise<readonly string[]> {
  const flags = (strategy: string) => ["--root", root, "--strategy", strategy, "--dataset", "D", "--model", "m"];
  const train = (strategy: string, script: string) =>
    trainlock(["run", ...flags(strategy), "--", "sh", "-c", `cd "$TRAINLOCK_WEIGHTS_DIR"; ${script}`]);
  const lockOf = (strategy: string) => join(root, "training_locks", `${strategy}_d_m.lock`);
  mkdirSync(folderOf(root, "empty"), { recursive: true });
  write(join(folderOf(root, "half"), "iter_4.pth"), Buffer.alloc(2048));
  write(join(folderOf(root, "bare-done"), "iter_9.pth"), Buffer.alloc(2048));
  await train("done", "head -c 2048 /dev/zero >iter_9.pth");
  await train("small", "head -c 12 /dev/zero >iter_9.pth");
  await train("failed", "head -c 2048 /dev/zero >iter_2.pth; exit 7");
  await train("lock-file-lost", "head -c 2048 /dev/zero >iter_9.pth");
  rmSync(lockOf("lock-file-lost"));
  await train("lock-file-emptied", "exit 3");
  writeFileSync(lockOf("lock-file-emptied"), "");
  await train("record-lost", "exit 3");
  rmSync(join(folderOf(root, "record-lost"), ".training_lock.json"));
  await train("record-torn", "head -c 2048 /dev/zero >iter_9.pth");
  writeFileSync(join(folderOf(root, "record-torn"), ".training_lock.json"), '{"pid": 1');
  for (const strategy of ["record-is-a-folder", "record-is-a-link"]) {
    const record = join(folderOf(root, strategy), ".training_lock.json");
    write(join(dirname(record), "iter_9.pth"), Buffer.alloc(2048));
    if (strategy.endsWith("folder")) mkdirSync(record);
    else symlinkSync("/etc/hostname", record);
  }
  write(lockOf("long"), `{"pid": 1, "x": "${"x".repeat(20_000)}"}`);
  write(lockOf("longest"), "x".repeat(70_000));
  mkdirSync(lockOf("lock-is-a-folder"));
  execFileSync("mkfifo", [lockOf("lock-is-a-fifo")]);
  write(join(folderOf(root, "odd"), ".training_lock"), "two\nlines\n");
  write(folderOf(root, "file"), "no folder");
  write(dirname(folderOf(root, "file-above")), "no folder");
  await holdWithRun(flags("held"));
  write(join(folderOf(root, "held"), "iter_9.pth"), Buffer.alloc(2048));
  await killWithCommand(await holdWithLastingCommand(flags("dead")));
  return [
    ...["new", "empty", "half", "bare-done", "done", "small", "failed", "lock-file-lost", "lock-file-emptied"],
    ...["record-lost", "record-torn", "record-is-a-folder", "record-is-a-link", "long", "longest", "lock-is-a-folder"],
    ...["lock-is-a-fifo", "odd", "file", "file-above", "held", "dead"],
  ];
}

requiresPrograms("unshare --mount")(
  "over a network, where many rows are looked at at once, each is as on a disk",
  async () => {
    const root = await temporaryRoot();
    const rows = await makeRows(root);
    const grid = join(root, "grid.csv");
    writeFileSync(grid, `strategy,dataset,model\n${rows.map((strategy) => `${strategy},D,m\n`).join("")}`);
    const look = async (within: readonly string[], pattern: string) => {
      const call = ["plan", grid, "--root", root, "--json", "--scheduler", "none", "--done-when", pattern];
      const { stdout, stderr } = await run([...within, "dist/trainlock", ...call]);
      if (stdout === "") throw new Error(stderr);
      // How far locks reach is told in words: it is not the same here and there.
      return (JSON.parse(stdout, (key, value) => (key === "detail" ? null : value)) as { rows: object[] }).rows;
    };
    const { told } = lustreWithoutLocks(root, "rw,flock");
    for (const pattern of ["iter_9.pth", "iter_?.pth", "**/iter_9.pth"]) {
      const near = await look([], pattern);
      expect(near).toHaveLength(rows.length);
      expect(await look(told, pattern)).toEqual(near);
    }
  },
);

requiresPrograms("unshare --mount", "strace")("over a network many rows are looked at at once", async () => {
  const root = await temporaryRoot();
  const count = 300;
  const names = Array.from({ length: count }, (_, n) => `s${n}`);
  for (const name of names) write(join(folderOf(root, name), "iter_9.pth"), Buffer.alloc(2048));
  const grid = join(root, "grid.csv");
  writeFileSync(grid, `strategy,dataset,model\n${names.map((strategy) => `${strategy},D,m\n`).join("")}`);
  const log = join(root, "strace");
  const strace = [
    "strace",
    "-f",
    "-qq",
    "-o",
    log,
    "-e",
    "trace=getdents64",
    "-e",
    "inject=getdents64:delay_enter=10000",
  ];
  const within = [...strace, ...lustreWithoutLocks(root, "rw,flock").told];
  const call = ["plan", grid, "--root", root, "--scheduler", "none", "--done-when", "iter_9.pth"];
  const { stdout } = await run([...within, "dist/trainlock", ...call]);
  expect(stdout).toContain(`${count} configurations: ${count} done`);
  expect(mostAtOnce(readFileSync(log, "utf8"))).toBeGreaterThan(8);
});

/** How many threads were in a call at the same moment: strace(1) shows a call that another one interrupts in two parts. */
function mostAtOnce(log: string): number {
  const inside = new Set<string>();
  let most = 0;
  for (const line of log.split("\n")) {
    const [thread = ""] = line.split(" ");
    if (line.endsWith("<unfinished ...>")) inside.add(thread);
    else inside.delete(thread);
    most = Math.max(most, inside.size);
  }
  return most;
}

test("a file is read the same whether the reader waits for it alone or for others, too", async () => {
  const root = await temporaryRoot();
  const limit = 9000;
  for (const bytes of [0, 1, 4095, 4096, 4097, 8192, limit, limit + 1, limit + 2, 20_000])
    writeFileSync(join(root, `of-${bytes}`), Buffer.alloc(bytes, bytes % 251));
  mkdirSync(join(root, "folder"));
  symlinkSync(join(root, "of-1"), join(root, "link"));
  symlinkSync(join(root, "nowhere"), join(root, "dangling"));
  execFileSync("mkfifo", [join(root, "fifo")]);
  const names = ["folder", "link", "dangling", "fifo", "absent", "of-1/below"];
  for (const name of [
    ...names,
    ...[0, 1, 4095, 4096, 4097, 8192, limit, limit + 1, limit + 2, 20_000].map((n) => `of-${n}`),
  ]) {
    const path = join(root, name);
    expect([name, seen(await readRegularFileSoon(path, limit))]).toEqual([name, seen(readRegularFile(path, limit))]);
  }
});

function seen(file: FileReading): unknown {
  if (file.kind === "absent") return file;
  if (file.kind === "failed") return { ...file, error: String(file.error) };
  return { ...file, stats: [file.stats?.ino, file.stats?.size, file.stats?.mtimeNs] };
}
