import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { defaultLayout } from "../../src/site/layout.ts";
import { weightsFolders, weightsFoldersHolding } from "../../src/site/weights-folders.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type Finished, finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

function folder(root: string, path: string, marker = true): string {
  mkdirSync(join(root, path), { recursive: true });
  if (marker) writeFileSync(join(root, path, ".training_lock"), "");
  return join(root, path);
}

function list(within: readonly string[], root: string, ...options: readonly string[]): Promise<Finished> {
  const [file = "", ...args] = [...within, executable, "list", "--root", root, ...options];
  return finish(file, args, { env: environment() });
}

async function listedPaths(within: readonly string[], root: string): Promise<string[]> {
  const { stdout } = await list(within, root, "--json");
  return JSON.parse(stdout).locks.map(({ path }: { path: string }) => path.slice(root.length + 1));
}

/** One by one on a disk of this host, many at once over a network: by different calls. */
const places = [
  { where: "a local disk", define: test, within: () => [] },
  {
    where: "a network file system",
    define: requiresPrograms("unshare --mount"),
    within: (root: string) => lustreWithoutLocks(root, "rw,flock").told,
  },
] as const;

describe.each(places)("on $where", ({ define, within }) => {
  define("links below the root are not followed, loops among them least of all", async () => {
    const root = await temporaryRoot();
    const outside = await temporaryRoot();
    folder(outside, "a/b_cd/m");
    const model = folder(root, "WEIGHTS/a/b_cd/m");
    symlinkSync("..", join(root, "WEIGHTS/a/loop"));
    symlinkSync(model, join(root, "WEIGHTS/a/b_cd/again"));
    symlinkSync(join(outside, "a"), join(root, "WEIGHTS/outside"));
    symlinkSync(join(outside, "a/b_cd/m"), join(root, "WEIGHTS/a/b_cd/outside"));
    expect(await listedPaths(within(root), root)).toEqual(["WEIGHTS/a/b_cd/m/.training_lock"]);
  });

  define("a top folder that is a link out of the root is said, and not entered", async () => {
    const root = await temporaryRoot();
    const outside = await temporaryRoot();
    folder(outside, "a/b_cd/m");
    symlinkSync(outside, join(root, "WEIGHTS"));
    const { exitCode, stdout, stderr } = await list(within(root), root);
    expect({ exitCode, stdout }).toEqual({
      exitCode: 3,
      stdout: "Found no lock in what could be read; 1 folder was not\n",
    });
    expect(stderr).toContain(`${root}/WEIGHTS: leads out of the root`);
  });

  define("the root itself may be reached by a link", async () => {
    const root = await temporaryRoot();
    folder(root, "real/WEIGHTS/a/b_cd/m");
    symlinkSync(join(root, "real"), join(root, "link"));
    expect(await listedPaths(within(root), join(root, "link"))).toEqual(["WEIGHTS/a/b_cd/m/.training_lock"]);
  });

  define("neither above the weights folders nor within them", async () => {
    const root = await temporaryRoot();
    folder(root, "WEIGHTS/a/b_cd/m/iter_1");
    folder(root, "WEIGHTS/a/b_cd");
    writeFileSync(join(root, "WEIGHTS/a/b_cd/file"), "");
    expect(await listedPaths(within(root), root)).toEqual([]);
  });

  define("each template's tree to its own depth, folders of known names entered without listing", async () => {
    const root = await temporaryRoot();
    const paths = ["RUNS/current/b/a/m", "deep/a/b/weights/m/out"];
    writeFileSync(
      join(root, "trainlock.yaml"),
      `weights:
    - when: { stage: 1 }
      path: deep/{strategy}/{dataset}/weights/{model}{ratio}{aux_loss}/out
    - RUNS/current/{dataset}/{strategy}/{model}{ratio}{aux_loss}
  `,
    );
    for (const path of [...paths, "deep/a/b/other/m/out", "deep/a/b/weights/m/out2", "RUNS/old/b/a/m"])
      folder(root, path);
    const { stdout } = await list(within(root), root, "--json");
    const { locks } = JSON.parse(stdout);
    expect(locks.map(({ path }: { path: string }) => path)).toEqual(
      paths.map((path) => join(root, path, ".training_lock")),
    );
    expect(locks.map(({ name }: { name: string }) => name)).toEqual(["a/b/m", "a/b/m"]);
  });

  define("a link or a file in the place of a folder of known name is not entered", async () => {
    const root = await temporaryRoot();
    const outside = await temporaryRoot();
    writeFileSync(join(root, "trainlock.yaml"), `weights: ["W/{strategy}/{dataset}/{model}{ratio}{aux_loss}/x/y"]\n`);
    folder(outside, "x/y");
    folder(root, "W/a/b/good/x/y");
    for (const name of ["linked", "inner", "file"]) folder(root, `W/a/b/${name}`, false);
    symlinkSync(join(outside, "x"), join(root, "W/a/b/linked/x"));
    mkdirSync(join(root, "W/a/b/inner/x"));
    symlinkSync(join(outside, "x/y"), join(root, "W/a/b/inner/x/y"));
    writeFileSync(join(root, "W/a/b/file/x"), "");
    expect(await listedPaths(within(root), root)).toEqual(["W/a/b/good/x/y/.training_lock"]);
  });

  (define === test ? requiresPrograms("root", "setpriv") : define)(
    "what may not be looked into is said once, and the rest is listed",
    async () => {
      const root = await temporaryRoot();
      chmodSync(root, 0o755);
      writeFileSync(
        join(root, "trainlock.yaml"),
        `weights: [{ when: { stage: 1 }, path: "DEEP/{strategy}/{dataset}/{model}{ratio}{aux_loss}/x" }, "WEIGHTS/{strategy}/{dataset|lower}_cd/{model}{ratio}{aux_loss}"]\n`,
      );
      folder(root, "WEIGHTS/a/b_cd/open");
      chmodSync(folder(root, "WEIGHTS/a/b_cd/closed"), 0);
      folder(root, "WEIGHTS/shut/b_cd/m");
      chmodSync(join(root, "WEIGHTS/shut"), 0);
      chmodSync(folder(root, "DEEP/a/b/m/x"), 0);
      const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
      const { exitCode, stdout, stderr } = await list([...within(root), ...nobody], root);
      expect(exitCode).toBe(3);
      expect(stdout).toContain(`${root}/WEIGHTS/a/b_cd/open/.training_lock`);
      for (const path of ["WEIGHTS/a/b_cd/closed", "WEIGHTS/shut", "DEEP/a/b/m/x"])
        expect(stderr.split(`${root}/${path}:`), stderr).toHaveLength(2);
    },
  );
});

test("folders that vanish meanwhile are no fault", async () => {
  for (const vanishing of [0, 1]) {
    const root = await temporaryRoot();
    for (let n = 0; n < 10; n += 1) folder(root, `WEIGHTS/a${n}/b_cd/m`);
    const levels = [null, null, null].map((any, level) => {
      if (level !== vanishing) return any;
      return () => {
        rmSync(join(root, "WEIGHTS"), { recursive: true, force: true });
        return true;
      };
    });
    const layout = { ...defaultLayout(root), weightsTrees: [{ top: join(root, "WEIGHTS"), levels }] };
    const faults: string[] = [];
    expect(
      await weightsFoldersHolding(layout, ".training_lock", {
        onUnreadable: (path) => faults.push(path),
        onLink: (path) => faults.push(path),
      }),
    ).toEqual([]);
    expect(
      await weightsFolders(layout, { onUnreadable: (path) => faults.push(path), onLink: (path) => faults.push(path) }),
    ).toEqual([]);
    expect(faults).toEqual([]);
  }
});

requiresPrograms("unshare --mount", "strace")("over a network many folders are asked at once", async () => {
  const root = await temporaryRoot();
  const count = 600;
  for (let n = 0; n < count; n += 1) folder(root, `WEIGHTS/a${n % 7}/b_cd/m${n}`, n % 100 === 0);
  const within = lustreWithoutLocks(root, "rw,flock").told;
  const delayMs = 10;
  const delayed = `inject=readlink,readlinkat:delay_enter=${delayMs * 1000}`;
  const strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=readlink,readlinkat", "-e", delayed];
  const startedAt = performance.now();
  const { stdout } = await list([...strace, ...within], root, "--file-only", "--no-verify-pid", "--json");
  const tookMs = performance.now() - startedAt;
  expect(JSON.parse(stdout).locks).toHaveLength(6);
  expect(tookMs).toBeLessThan((count * delayMs) / 2);
});
