// Eight contenders in one process, through the library. Driven by messages of the test; every holding is proved by an
// O_EXCL file and logged with the monotonic clock, which all processes of a machine share.
import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [, , library, root, logPath, occupancyFolder] = process.argv;
const { TrainingLock } = await import(library);
const contendersHere = 8;
const journal = openSync(logPath, "a");

const startTime = (pid) => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .split(" ");
    return "ZX".includes(fields[0]) ? "" : fields[19];
  } catch {
    return "";
  }
};
const who = `${process.pid} ${startTime(process.pid)}`;
const isAlive = (owner) => {
  const [pid, started] = owner.split(" ");
  return started !== undefined && started !== "" && startTime(pid) === started;
};

// Synchronous and in one write: what is logged survives a SIGKILL right after.
const record = (what, model, generation) =>
  writeSync(journal, `${what} ${model} ${who} ${process.hrtime.bigint()} ${generation} trainlock\n`);

async function occupy(path, model, generation) {
  for (;;) {
    try {
      const file = openSync(path, "wx");
      writeSync(file, who);
      closeSync(file);
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    let owner = "";
    try {
      owner = readFileSync(path, "utf8");
    } catch {
      continue;
    }
    // A holder that was killed leaves its file, and is in the process table for a moment after its lock has gone.
    for (let waited = 0; waited < 1000 && owner !== who && isAlive(owner); waited++) await sleep(1);
    if (isAlive(owner)) record(`occupied-by-${owner.split(" ")[0]}`, model, generation);
    try {
      unlinkSync(path);
    } catch {}
  }
}

const lockOf = (model) => new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model, root });

async function holdFor(lock, model, last) {
  const { generation } = lock;
  const occupancy = `${occupancyFolder}/${model}`;
  record("enter", model, generation);
  await occupy(occupancy, model, generation);
  await last();
  if (lock.lost?.aborted) record("lost", model, generation);
  unlinkSync(occupancy);
  record("exit", model, generation);
  await lock.release();
}

let stopped = false;
let release = () => {};

async function contend(model) {
  let won = 0;
  let attempts = 0;
  while (!stopped) {
    const lock = lockOf(model);
    attempts += 1;
    if (await lock.acquire()) {
      won += 1;
      await holdFor(lock, model, () => (Math.random() < 0.5 ? undefined : sleep(Math.random() * 5)));
    }
    await sleep(Math.random() * 4);
  }
  return { won, attempts };
}

async function race(model) {
  const released = new Promise((resolve) => {
    release = resolve;
  });
  const attempts = Array.from({ length: contendersHere }, async () => {
    const lock = lockOf(model);
    const won = await lock.acquire();
    return { lock, won };
  });
  const outcomes = await Promise.all(attempts);
  const winners = outcomes.filter(({ won }) => won);
  const holding = winners.map(({ lock }) => holdFor(lock, model, () => released));
  process.send({ outcomes: outcomes.map(({ won }) => won) });
  await Promise.all(holding);
  process.send({ released: true });
}

process.on("message", async (message) => {
  try {
    if (message.contend !== undefined) {
      const all = await Promise.all(Array.from({ length: contendersHere }, () => contend(message.contend)));
      const sum = (key) => all.reduce((total, each) => total + each[key], 0);
      process.send({ won: sum("won"), attempts: sum("attempts") });
    } else if (message.stop) stopped = true;
    else if (message.race !== undefined) await race(message.race);
    else if (message.release) release();
    else if (message.leave) process.exit(0);
  } catch (error) {
    process.send({ error: String(error?.stack ?? error) });
  }
});
process.on("disconnect", () => process.exit(0));
process.send({ ready: true });
