import { expect } from "vitest";
import { descendantsOf, readProcessTable } from "../../src/system/processes/process-tree.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";

/** Forks and ends, again and again: at every instant one of it runs, and each for a few milliseconds. Below a subreaper. */
const chain = `
import ctypes, os, time
ctypes.CDLL(None).prctl(36, 1)
if os.fork() == 0:
    os.setsid()
    until = time.monotonic() + 20
    print("BEGUN", flush=True)
    while time.monotonic() < until:
        if os.fork(): os._exit(0)
        time.sleep(0.002)
    os._exit(0)
try:
    while True: os.wait()
except ChildProcessError: pass
`;

requiresPrograms("python3")(
  "a process that forks and ends all the time is in every look at the process tree",
  async () => {
    const above = startProcess("python3", ["-c", chain]);
    await above.waitFor("BEGUN");
    let empty = 0;
    for (let looks = 0; looks < 100; looks += 1) {
      const living = descendantsOf(above.pid, readProcessTable()).filter(({ runs }) => runs);
      if (living.length === 0) empty += 1;
    }
    expect(empty).toBe(0);
  },
);
