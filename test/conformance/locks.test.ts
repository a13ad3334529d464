import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { makeExamine } from "../../src/evidence/examine.ts";
import { listLocks } from "../../src/listing/list-locks.ts";
import type { Configuration } from "../../src/model/configuration.ts";
import { serializeOwnerRecord } from "../../src/model/serialize-owner-record.ts";
import { defaultLayout, type Layout, markerPath } from "../../src/site/layout.ts";
import { asReleased, newOwnerRecord } from "../../src/stores/claim-record.ts";
import { type ClaimOptions, claimStore } from "../../src/stores/folder/claim.ts";
import { withoutKernelLock } from "../../src/stores/folder/claim-lock.ts";
import { acquireKernelLock, type KernelLock } from "../../src/stores/folder/kernel-lock.ts";
import { kernelHolder, probeKernelLock } from "../../src/stores/folder/kernel-lock-probe.ts";
import { placeMarker } from "../../src/stores/folder/marker.ts";
import { readMarker } from "../../src/stores/folder/read-marker.ts";
import type { HeldLock } from "../../src/stores/store.ts";
import { type PythonSession, pythonSession } from "../support/python.ts";
import { replaceFile } from "../support/replace-file.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { asStore, type Refused, type SimpleLock } from "./as-store.ts";
import { conformance } from "./conformance.ts";

conformance(
  "kernel lock",
  { namesHolder: true, signalsLoss: false, hasGenerations: false, countsByOne: false },
  (root) => {
    const layout = defaultLayout(root);
    const pathOf = (configuration: Configuration) => layout.kernelLockPath(configuration);
    return {
      store: asStore(async (configuration) => {
        const taken = await acquireKernelLock(pathOf(configuration), "flock");
        if (taken === "busy") return { holderPid: kernelHolder(pathOf(configuration), null).pid };
        const record = recordOf(layout, configuration);
        taken.write(serializeOwnerRecord(record));
        const release = () => {
          // Without a word of its own in the file it would look like an old writer's, whose unlink may still come.
          taken.write(serializeOwnerRecord(asReleased(record)));
          taken.release();
        };
        return { release: once(release) };
      }),
      isShown: async (configuration) => (await probeKernelLock(pathOf(configuration), "flock")).lock.state === "held",
      takeAway: (configuration) => takeKernelLock(layout, configuration),
    };
  },
);

conformance("marker", { namesHolder: true, signalsLoss: false, hasGenerations: false, countsByOne: false }, (root) => {
  const layout = defaultLayout(root);
  const folderOf = (configuration: Configuration) => {
    const folder = layout.weightsDir(configuration);
    mkdirSync(folder, { recursive: true });
    return folder;
  };
  return {
    store: asStore(async (configuration) => {
      const folder = folderOf(configuration);
      const placed = placeMarker(folder, process.pid, () => {});
      if (placed === "occupied") return { holderPid: readMarker(folder)?.pid ?? null };
      return { release: once(() => placed.remove()) };
    }),
    isShown: async (configuration) => readMarker(folderOf(configuration)) !== null,
    takeAway: (configuration) => takeMarker(layout, configuration),
  };
});

const claims = (root: string, options: ClaimOptions = {}) => {
  const layout = defaultLayout(root);
  return {
    layout,
    store: claimStore(layout, makeExamine(), options),
    isShown: async (configuration: Configuration) => {
      const name = layout.displayName(configuration);
      const asked = { verify: true, examine: makeExamine(), onUnreadable: () => {} };
      const found = await listLocks({ layout, kinds: ["file", "fcntl"], ...asked });
      return found.some((lock) => lock.name === name);
    },
  };
};
const claimTraits = { namesHolder: true, signalsLoss: true, hasGenerations: true, countsByOne: true };

conformance("claim, its kernel lock taken away", claimTraits, (root) => {
  const { layout, ...rest } = claims(root);
  return { ...rest, takeAway: (configuration) => takeKernelLock(layout, configuration) };
});

conformance("claim, its marker taken away", claimTraits, (root) => {
  const { layout, ...rest } = claims(root);
  return { ...rest, takeAway: (configuration) => takeMarker(layout, configuration) };
});

conformance("claim without a kernel lock, its marker taken away", claimTraits, (root) => {
  const { layout, ...rest } = claims(root, { acquireLock: withoutKernelLock });
  return { ...rest, takeAway: (configuration) => takeMarker(layout, configuration) };
});

conformance(
  "claim of a Python program, its marker taken away",
  { ...claimTraits, changes: 10, testWith: requiresPrograms("python3") },
  (root) => {
    const { layout, isShown } = claims(root);
    const { store, holderPid } = pythonPrograms(root);
    return {
      store,
      isShown,
      holderPid,
      takeAway: (configuration) => takeMarker(layout, configuration),
    };
  },
);

/** Each contender is a program of its own; one that has nothing is used again. */
function pythonPrograms(root: string) {
  const idle: PythonSession[] = [];
  const holders = new Map<AbortSignal, number>();
  let attempts = 0;
  const take = async ({ strategy, dataset, model }: Configuration): Promise<SimpleLock | Refused> => {
    const program = idle.pop() ?? pythonSession(root);
    attempts += 1;
    const lock = `lock_${attempts}`;
    await program.tell(`${lock} = TrainingLock('${strategy}', '${dataset}', '${model}')`);
    const answer = await program.tell(`[busy and busy['holder']['pid'] for busy in [${lock}._acquire(0)]]`);
    const [holderPid = null] = answer as [number | null];
    if (holderPid !== null) {
      idle.push(program);
      return { holderPid };
    }
    const lost = new AbortController();
    holders.set(lost.signal, program.process.pid ?? 0);
    let released = false;
    const check = async () => {
      const why = await program.tell(`${lock}.assert_held()`).then(
        () => null,
        (error: unknown) => error,
      );
      if (why !== null && !released) lost.abort(why);
    };
    const release = async () => {
      await program.tell(`${lock}.release()`);
      if (!released) idle.push(program);
      released = true;
    };
    const generation = Number(await program.tell(`${lock}.generation`));
    return { generation, lost: lost.signal, check, release };
  };
  return { store: asStore(take), holderPid: ({ lost }: HeldLock) => holders.get(lost) ?? 0 };
}

function recordOf(layout: Layout, configuration: Configuration) {
  const token = "0123456789abcdef0123456789abcdef";
  return newOwnerRecord({
    configuration,
    token,
    generation: 1,
    weightsDir: layout.weightsDir(configuration),
    lockInode: 0n,
    command: null,
  });
}

/** Primitives have no release that may be called twice; the claim above them has. */
function once(release: () => unknown) {
  let released = false;
  return () => {
    if (!released) release();
    released = true;
  };
}

/** What the Python writer's release does to a successor: the name goes, and somebody makes and locks a new file. */
async function takeKernelLock(layout: Layout, configuration: Configuration) {
  const path = layout.kernelLockPath(configuration);
  rmSync(path, { force: true });
  const taken = await acquireKernelLock(path, "flock");
  if (taken === "busy") throw new Error(`${path} was just removed, and is held`);
  const successor: KernelLock = taken;
  // As the older writers do at once: a lock without a record may be a contender's.
  successor.write(Buffer.from(JSON.stringify({ strategy: configuration.strategy, pid: process.pid })));
  return { stillHas: () => successor.isInPlace(), giveBack: () => successor.release() };
}

/** What `rm` by hand and the next job script do. */
function takeMarker(layout: Layout, configuration: Configuration) {
  const path = markerPath(layout.weightsDir(configuration));
  mkdirSync(dirname(path), { recursive: true });
  replaceFile(path, `${process.pid}\n`);
  return {
    stillHas: () => existsSync(path) && readFileSync(path, "utf8") === `${process.pid}\n`,
    giveBack: () => rmSync(path),
  };
}
