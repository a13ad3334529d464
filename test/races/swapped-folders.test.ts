import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, trainlock } from "../support/trainlock.ts";

const rounds = process.env.TRAINLOCK_SOAK === "1" ? 1000 : 20;

/** Swaps a folder for a link and back, as fast as it can, until its input ends. */
const swapper = `
import os, select, sys
folder, link = sys.argv[1:]
print("SWAPPING", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(50):
        os.rename(folder, folder + ".aside"); os.rename(link, folder)
        os.rename(folder, link); os.rename(folder + ".aside", folder)
`;

requiresPrograms("python3")(
  "clear removes nothing outside the root, however fast folders become links",
  async () => {
    const [root, outside] = [await temporaryRoot(), await temporaryRoot()];
    const markerIn = (top: string) => join(top, "d_cd", "m", ".training_lock");
    const inside = join(root, "WEIGHTS", "s");
    const link = join(root, "link");
    symlinkSync(outside, link);
    for (const top of [inside, outside]) mkdirSync(join(top, "d_cd", "m"), { recursive: true });
    writeFileSync(markerIn(outside), "4194303\n");
    const swapping = startProcess("python3", ["-c", swapper, inside, link], { env: environment() });
    await swapping.waitFor("SWAPPING");
    let cleared = 0;
    for (let round = 0; round < rounds; round += 1) {
      try {
        writeFileSync(markerIn(inside), "4194303\n", { flag: "wx" });
      } catch {
        // It was away just now, or is still there.
      }
      const { stdout } = await trainlock(["clear", "--root", root, "--force", "--no-dry-run", "--scheduler", "none"]);
      if (stdout.includes("Cleared 1")) cleared += 1;
      expect(existsSync(markerIn(outside)), `after ${round} rounds: ${stdout}`).toBe(true);
    }
    swapping.closeInput();
    await swapping.finished;
    tally({ rounds });
    expect(cleared).toBeGreaterThan(0);
  },
  600_000,
);
