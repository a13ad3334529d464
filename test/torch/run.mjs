// npm run test:torch: workers of a real DataLoader hold the lock of a Python program that is killed; ranks of a real torchrun
// join the lock of the run that they were started by. A script of its own, for Debian's python3-torch has more than 300 MB. Exit
// code 1 as soon as anything fails.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { checkRanks } from "./ranks.mjs";

const project = fileURLToPath(new URL("../..", import.meta.url));
const trainlock = join(project, "dist", "trainlock");
const python = "/usr/bin/python3";
if (!existsSync(trainlock)) fail("dist/trainlock is not there: npm run build");
if (spawnSync(python, ["-c", "import torch"]).status !== 0)
  fail("needs Debian's python3-torch: apt-get install python3-torch");

const named = ["--strategy", "baseline", "--dataset", "IDD-AW", "--model", "deeplabv3plus_r50"];
const program = `
import os, sys, time
import torch.utils.data

class Slow(torch.utils.data.IterableDataset):
    def __iter__(self):
        with open(os.environ['PIDS'], 'a') as file:
            file.write('{}\\n'.format(os.getpid()))
        while True:
            time.sleep(0.2)
            yield 0

if __name__ == '__main__':
    from training_lock import TrainingLock
    lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
    assert lock.acquire()
    loader = torch.utils.data.DataLoader(Slow(), num_workers=4, multiprocessing_context=sys.argv[1])
    for batch in loader:
        lock.assert_held()
`;

const seen = new Set();
for (const method of ["fork", "spawn", "forkserver"]) {
  const root = mkdtempSync(join(tmpdir(), "trainlock-torch-"));
  const [file, list] = [join(root, "train.py"), join(root, "pids")];
  writeFileSync(file, program);
  writeFileSync(list, "");
  const env = {
    ...{ PATH: process.env.PATH, TRAINLOCK_ROOT: root, TRAINLOCK_BIN: trainlock, PIDS: list, OMP_NUM_THREADS: "1" },
    PYTHONPATH: join(project, "python"),
  };
  const training = spawn(python, [file, method], { env, stdio: "inherit" });
  const workers = () => readFileSync(list, "utf8").split("\n").filter(Boolean).map(Number);
  await until(`${method}: four workers`, () => workers().length === 4);
  const living = () => workers().filter(runs);
  const isLocked = () => spawnSync(trainlock, ["check", ...named, "--root", root]).status === 1;
  training.kill("SIGKILL");
  let looks = 0;
  // Workers by fork and spawn notice within seconds that their parent is gone; those of forkserver do not.
  for (; living().length > 0; looks += 1) {
    const before = living();
    const locked = isLocked();
    if (!locked && living().length === before.length) fail(`${method}: free, and ${before.length} workers live`);
    if (!seen.has(method)) {
      const shown = execFileSync(trainlock, ["list", "-v", "--root", root], { encoding: "utf8" });
      const still = living();
      if (still.some((pid) => shown.includes(String(pid)))) seen.add(method);
      else if (still.length === before.length) fail(`${method}: list names none of ${still}:\n${shown}`);
    }
    if (looks === 20) for (const pid of living()) process.kill(pid, "SIGKILL");
    await sleep(100);
  }
  await until(`${method}: free once the last one is gone`, () => !isLocked());
  console.log(
    `${method}: locked until the last of 4 workers was gone (${looks} looks), then free${seen.has(method) ? "; list named one that lived" : ""}`,
  );
  rmSync(root, { recursive: true, force: true });
}

await checkRanks({ trainlock, python, pythonFolder: join(project, "python"), named, until, fail, runs });

/** A zombie does not. */
function runs(pid) {
  try {
    return !/^[ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1));
  } catch {
    return false;
  }
}

async function until(what, look, seconds = 60) {
  for (let times = 0; !look(); times += 1) {
    if (times === 10 * seconds) fail(`not within ${seconds} s: ${what}`);
    await sleep(100);
  }
}

function fail(why) {
  console.error(why);
  process.exit(1);
}
