// Two ranks of a real torchrun train one model by DistributedDataParallel, each inside `with TrainingLock(…)`, under `trainlock
// run`.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const torchrun = fileURLToPath(new URL("../support/peers/debian_torchrun.py", import.meta.url));

const train = `
import os, time
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel
from training_lock import TrainingLock

def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()

torch.distributed.init_process_group('gloo')
rank = torch.distributed.get_rank()
with TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50') as lock:
    model = DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step(model, optimizer)
    with open('{}.{}'.format(os.environ['SAYS'], rank), 'w') as file:
        print(os.getpid(), lock.generation, lock.weights_dir, file=file)
    going_on = torch.tensor(0)
    while going_on == 0:
        lock.assert_held()
        step(model, optimizer)
        time.sleep(0.05)
        # Both end with the same step: else one would wait for the other's gradients for ever.
        going_on.fill_(int(os.path.exists(os.environ['GO_ON'])))
        torch.distributed.broadcast(going_on, 0)
    if rank == 0:
        lock.assert_held()
        torch.save(model.state_dict(), str(lock.weights_dir / 'iter_1.pth'))
os._exit(0)
`;

export async function checkRanks({ trainlock, python, pythonFolder, named, until, fail, runs }) {
  for (const [number, how] of ["to the end", "killed"].entries()) {
    const root = mkdtempSync(join(tmpdir(), "trainlock-torch-"));
    const [file, says, goOn] = ["train.py", "says", "go-on"].map((name) => join(root, name));
    writeFileSync(file, train);
    const env = {
      ...{ PATH: process.env.PATH, TRAINLOCK_ROOT: root, TRAINLOCK_BIN: trainlock, OMP_NUM_THREADS: "1" },
      ...{ PYTHONPATH: pythonFolder, SAYS: says, GO_ON: goOn },
    };
    const launch = [
      torchrun,
      "--nproc_per_node",
      "2",
      "--master_port",
      String(20_000 + ((process.pid + number) % 10_000)),
      file,
    ];
    const run = spawn(trainlock, ["run", ...named, "--", ...launch], { env, stdio: ["ignore", "ignore", "pipe"] });
    let ended = null;
    let complaint = "";
    run.stderr.on("data", (text) => {
      complaint += text;
    });
    run.on("exit", (code, signal) => {
      ended = code ?? signal;
    });
    const said = () =>
      [0, 1].map((rank) => (existsSync(`${says}.${rank}`) ? readFileSync(`${says}.${rank}`, "utf8") : ""));
    await until(
      `both ranks in their with blocks: ${complaint}`,
      () => {
        if (ended !== null) fail(`torchrun has ended with ${ended}: ${complaint}`);
        return said().every((text) => text.endsWith("\n"));
      },
      300,
    );
    const [first, second] = said().map((text) => text.trim().split(" "));
    if (first[1] !== "1" || second[1] !== "1" || first[2] !== second[2])
      fail(`ranks have two claims: ${first}, ${second}`);
    const other = spawnSync(
      python,
      ["-c", "from training_lock import *\nprint(TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire())"],
      { env, encoding: "utf8" },
    );
    if (other.stdout !== "False\n") fail(`a second program beside the ranks: ${other.stdout}${other.stderr}`);
    if (how === "to the end") {
      writeFileSync(goOn, "");
      await until("torchrun to end", () => ended !== null);
      if (ended !== 0) fail(`torchrun has ended with ${ended}: ${complaint}`);
      if (!existsSync(join(first[2], "iter_1.pth"))) fail("rank 0 has saved nothing");
      console.log(
        "torchrun: two ranks of DistributedDataParallel joined the lock of run, and rank 0 saved; no other program could",
      );
    } else {
      await killedLauncher({
        run,
        pids: [Number(first[0]), Number(second[0])],
        root,
        trainlock,
        named,
        until,
        fail,
        runs,
      });
    }
    rmSync(root, { recursive: true, force: true });
  }
}

/** The wrapper and the launcher are killed, and the ranks go on. */
async function killedLauncher({ run, pids, root, trainlock, named, until, fail, runs }) {
  const launcher = Number(readFileSync(`/proc/${pids[0]}/stat`, "utf8").split(") ").at(-1).split(" ")[1]);
  const isLocked = () => spawnSync(trainlock, ["check", ...named, "--root", root]).status === 1;
  run.kill("SIGKILL");
  process.kill(launcher, "SIGKILL");
  await until("the launcher to be gone", () => !runs(launcher));
  for (const pid of pids) {
    const [before, locked, after] = [runs(pid), isLocked(), runs(pid)];
    if (before && after && !locked) fail(`free while rank ${pid} trains without its launcher`);
    if (runs(pid)) process.kill(pid, "SIGKILL");
  }
  await until("both ranks to be gone, and free", () => !pids.some(runs) && !isLocked());
  console.log("torchrun killed with its wrapper: locked while a rank lived, then free");
}
