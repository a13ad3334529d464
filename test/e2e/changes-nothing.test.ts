import { lstatSync, readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { deadPid } from "../support/process-state.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

/** Every path with what a change would move: inode, size, mode, and the times of content and inode. */
function snapshot(root: string): string[] {
  const paths = [root, ...readdirSync(root, { recursive: true, encoding: "utf8" }).map((path) => join(root, path))];
  return paths.sort().map((path) => {
    const { ino, size, mode, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
    return [path, ino, size, mode, mtimeNs, ctimeNs].join(" ");
  });
}

test.each(["check", "list", "clear", "clear --force"])("%s looks only, and creates nothing", async (called) => {
  const command = called.split(" ");
  const root = await temporaryRoot();
  const of = configuration(root);
  const args = command[0] === "check" ? of.args : ["--root", root];
  const look = async () => {
    const before = snapshot(root);
    expect([0, 1]).toContain((await trainlock([...command, ...args])).exitCode);
    expect(snapshot(root)).toEqual(before);
  };
  // An empty root: no lock dir, no weights.
  await look();
  const holder = await holdWithRun(configuration(root, "held").args);
  // Only the command under test may be at work here, and a holder looks after its record now and then.
  holder.kill("SIGSTOP");
  await writeMarker(of, `${deadPid}\n`);
  await writeMarker(configuration(root, "garbage"), "12\n34\n");
  await mkdir(of.lockDir, { recursive: true });
  await writeFile(of.kernelLock, JSON.stringify({ strategy: "baseline", hostname: "gone", pid: deadPid }));
  await look();
});
