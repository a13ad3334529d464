import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const test = requiresPrograms("python3");

/** A living process, as an old job script has it. */
const living = `${process.pid}\n`;

function behindLink(of: TestConfiguration, link: string, target: string, marker: string | null): void {
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(target, link);
  if (marker === null) return;
  mkdirSync(of.weightsDir, { recursive: true });
  writeFileSync(of.marker, marker);
}

const weights = (of: TestConfiguration) => join(of.root, "WEIGHTS");
const strategy = (of: TestConfiguration) => join(weights(of), of.strategy);
const inRoot = (of: TestConfiguration) => {
  mkdirSync(join(of.root, "disk2"));
  return "../disk2";
};

/** What a site may look like, and what `trainlock check` says of it: 0 free, 1 locked, 3 not to be known. */
const sites: Readonly<Record<string, readonly [number, (of: TestConfiguration) => void | Promise<void>]>> = {
  "nothing there": [0, () => undefined],
  "a job script's marker": [1, (of) => writeMarker(of, living)],
  "a strategy's folder on another disk of the root, trained there": [
    1,
    (of) => behindLink(of, strategy(of), inRoot(of), living),
  ],
  "the same, free": [0, (of) => behindLink(of, strategy(of), inRoot(of), null)],
  "a weights dir on another disk of the root, trained there": [
    1,
    (of) => behindLink(of, of.weightsDir, join(of.root, inRoot(of).slice(3)), living),
  ],
  "all weights on another disk of the root, trained there": [
    1,
    (of) => behindLink(of, weights(of), inRoot(of).slice(3), living),
  ],
  "an allowed link that leads nowhere on this host": [
    1,
    (of) => {
      writeFileSync(join(of.root, "trainlock.yaml"), "links: [/nowhere]\n");
      behindLink(of, strategy(of), "/nowhere/x", null);
    },
  ],
  "a link that leads out of the root": [3, async (of) => behindLink(of, strategy(of), await temporaryRoot(), living)],
  "a link that leads nowhere": [3, (of) => behindLink(of, of.weightsDir, "/nowhere/x", null)],
  "a file where the weights dir belongs": [
    3,
    (of) => {
      mkdirSync(dirname(of.weightsDir), { recursive: true });
      writeFileSync(of.weightsDir, "");
    },
  ],
  "a lock file with a second name": [
    3,
    (of) => {
      mkdirSync(of.lockDir);
      writeFileSync(of.kernelLock, "");
      linkSync(of.kernelLock, join(of.root, "other"));
    },
  ],
  "a folder where the lock file belongs": [3, (of) => void mkdirSync(of.kernelLock, { recursive: true })],
  "a marker that is a folder": [1, (of) => void mkdirSync(of.marker, { recursive: true })],
};

for (const [what, [code, make]] of Object.entries(sites)) {
  test(`${what}: is_locked says what check says`, async () => {
    const of = configuration(await temporaryRoot());
    await make(of);
    const program = pythonSession(of.root);
    expect((await trainlock(["check", ...of.args])).exitCode).toBe(code);
    if (code === 3) expect(await program.raised("lock.is_locked()")).toMatch(/^LockUnavailable: /);
    else expect(await program.tell("lock.is_locked()")).toBe(code === 1);
    if (code === 1)
      expect(await program.tell("lock.get_lock_holder() is not None, lock.acquire()")).toEqual([true, false]);
  });
}

test("behind a folder that may be entered but not read, the lock itself is asked for", async () => {
  const of = configuration(await temporaryRoot());
  await writeMarker(of, living);
  const program = pythonSession(of.root);
  // As the listing has it where this program is not root's.
  await program.tell(
    `training_lock._here().snapshots[training_lock.json.dumps([None, None, '${of.root}', None])] = (time.monotonic() + 60, ` +
      `{'locks': [], 'unreadable': {'${dirname(of.weightsDir)}': 'EACCES'}, 'root': '${of.root}', ` +
      `'usual_paths': {'root': '${of.root}', 'lock_dir': '${of.lockDir}'}})`,
  );
  expect(await program.tell("lock.is_locked()")).toBe(true);
});

test("the lists say which links they have not followed", async () => {
  const of = configuration(await temporaryRoot());
  behindLink(of, strategy(of), inRoot(of), living);
  const program = pythonSession(of.root);
  expect(await program.tell("list_all_locks()")).toEqual([]);
  expect(program.process.stderr()).toContain(`${strategy(of)} is a link, and is not followed`);
});

test("a ratio of minus zero is zero", async () => {
  const of = configuration(await temporaryRoot());
  const holder = pythonSession(of.root);
  expect(await holder.tell("TrainingLock('a', 'b', 'c', 0.0).acquire()")).toBe(true);
  const program = pythonSession(of.root);
  expect(await program.tell("TrainingLock('a', 'b', 'c', -0.0).is_locked()")).toBe(true);
});
