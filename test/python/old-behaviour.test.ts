import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { dirname } from "node:path";
import { expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { pythonJob } from "../support/peers.ts";
import { python } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const test = requiresPrograms("python3");

/** Both files have the same names: a program runs with either. Each row has a root of its own. */
const program = `
import importlib, json, os, sys
from pathlib import Path
module = importlib.import_module(sys.argv[1])
def lock(**named):
    return module.TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50', **named)
def raised(call):
    try:
        call()
    except Exception as error:
        return ['RuntimeError' if isinstance(error, RuntimeError) else type(error).__name__, str(error)]
def some(record, *keys):
    return None if record is None else [record.get(key) for key in keys]
values = []
for row in json.loads(sys.argv[2]):
    os.environ['AWARE_DATA_ROOT'] = row['root']
    module = importlib.reload(module)
    TrainingLock, locks, record = module.TrainingLock, module.DEFAULT_LOCK_DIR, json.loads(row['record'])
    try:
        values.append(eval(row['call']))
    except Exception as error:
        values.append('raised ' + repr(error))
print(json.dumps(values, default=str))
`;

type Scene =
  | "free"
  | "held by another"
  | "its record emptied"
  | "left free by a dead job"
  | "a folder without permission";

interface Row {
  readonly what: string;
  readonly scene: Scene;
  /** An expression; what it is, as JSON. */
  readonly call: string;
  /** Null: whatever both say, as long as it is the same. */
  readonly same?: unknown;
  /** Where the new file is better, and why. */
  readonly old?: unknown;
  readonly new?: unknown;
  readonly why?: string;
}

const rows: readonly Row[] = [
  {
    what: "names: plain",
    scene: "free",
    call: "str(lock().lock_file)",
    same: "{locks}/baseline_idd_aw_deeplabv3plus_r50.lock",
  },
  {
    what: "names: ratio, aux loss, stage",
    scene: "free",
    call: "str(lock(ratio=0.5, aux_loss='focal', stage=1).lock_file)",
    same: "{locks}/s1_baseline_idd_aw_deeplabv3plus_r50_ratio0p50_aux-focal.lock",
  },
  {
    what: "names: ratios are rounded as Python rounds",
    scene: "free",
    call: "[lock(ratio=r).lock_file.name[34:44] for r in (0, 1, 0.125, 0.375, 0.005, 0.015, 1/3)]",
    same: ["ratio0p00.", "ratio1p00.", "ratio0p12.", "ratio0p38.", "ratio0p01.", "ratio0p01.", "ratio0p33."],
  },
  {
    what: "names: stage 1 and stage '1' are two locks",
    scene: "free",
    call: "[lock(stage=s).lock_file.name[:10] for s in (1, '1', 'ratio', 0)]",
    same: ["s1_baselin", "1_baseline", "ratio_base", "s0_baselin"],
  },
  {
    what: "names: aux_loss '' is none",
    scene: "free",
    call: "lock(aux_loss='').lock_file == lock().lock_file",
    same: true,
  },
  {
    what: "arguments in their order",
    scene: "free",
    call: "[str(getattr(TrainingLock('gen_X', 'ACDC', 'm', 0.25, 'focal', 2, '/somewhere'), name)) for name in ('strategy', 'dataset', 'model', 'ratio', 'aux_loss', 'stage', 'lock_dir', 'lock_file')]",
    same: [
      "gen_X",
      "acdc",
      "m",
      "0.25",
      "focal",
      "2",
      "/somewhere",
      "/somewhere/s2_gen_X_acdc_m_ratio0p25_aux-focal.lock",
    ],
  },
  { what: "attributes: dataset is normalized", scene: "free", call: "lock().dataset", same: "idd_aw" },
  { what: "acquire: free", scene: "free", call: "lock().acquire()", same: true },
  {
    what: "acquire: a second call on one object",
    scene: "free",
    call: "(lambda l: [l.acquire(), l.acquire()])(lock())",
    same: [true, true],
  },
  {
    what: "acquire: a second object in one process",
    scene: "free",
    call: "(lambda a, b: [a.acquire(), b.acquire()])(lock(), lock())",
    same: [true, false],
  },
  { what: "acquire: held", scene: "held by another", call: "lock().acquire()", same: false },
  {
    what: "acquire: held, and waited for in vain",
    scene: "held by another",
    call: "lock().acquire(blocking=True, timeout=0.3)",
    same: false,
  },
  { what: "acquire: held, positional", scene: "held by another", call: "lock().acquire(True, 0)", same: false },
  { what: "acquire: a dead job left its file", scene: "left free by a dead job", call: "lock().acquire()", same: true },
  {
    what: "acquire: the folder may not be written",
    scene: "a folder without permission",
    call: "raised(lambda: lock().acquire())[0] if module.__name__ == 'training_lock' else lock().acquire()",
    old: false,
    new: "RuntimeError",
    why: "a broken environment read as locked: every configuration was skipped without a word",
  },
  {
    what: "acquire keeps the holder's record",
    scene: "held by another",
    call: "(lambda l: [l.acquire(), l.get_lock_holder() is not None])(lock())",
    old: [false, false],
    new: [false, true],
    why: "a contender emptied the file of whoever holds the lock",
  },
  {
    what: "release: then free again",
    scene: "free",
    call: "(lambda l: [l.acquire(), l.release(), lock().acquire()])(lock())",
    same: [true, null, true],
  },
  { what: "release: not held", scene: "free", call: "lock().release()", same: null },
  {
    what: "release: of another's",
    scene: "held by another",
    call: "(lambda l: [l.release(), l.is_locked()])(lock())",
    same: [null, true],
  },
  {
    what: "release: the file",
    scene: "free",
    call: "(lambda l: [l.acquire(), l.release(), l.lock_file.exists()])(lock())",
    old: [true, null, false],
    new: [true, null, true],
    why: "a waiter on the unlinked file and a newcomer on a new one both won; the file stays, and says that it is free",
  },
  { what: "is_locked: free", scene: "free", call: "lock().is_locked()", same: false },
  { what: "is_locked: held", scene: "held by another", call: "lock().is_locked()", same: true },
  {
    what: "is_locked: a dead job left its file",
    scene: "left free by a dead job",
    call: "lock().is_locked()",
    same: false,
  },
  {
    what: "is_locked: by this object",
    scene: "free",
    call: "(lambda l: [l.acquire(), l.is_locked()])(lock())",
    old: [true, true],
    new: [true, false],
    why: "it asks whether another process has it",
  },
  {
    what: "is_locked: by another object of this process",
    scene: "free",
    call: "(lambda l: [l.acquire(), lock().is_locked()])(lock())",
    same: [true, true],
  },
  {
    what: "get_lock_holder: held",
    scene: "held by another",
    call: "some(lock().get_lock_holder(), 'strategy', 'dataset', 'model', 'ratio', 'aux_loss', 'job_id', 'hostname', 'pid', 'user', 'acquired_at')",
  },
  {
    what: "get_lock_holder: own",
    scene: "free",
    call: "(lambda l: [l.acquire(), some(l.get_lock_holder(), 'strategy', 'dataset', 'model', 'ratio', 'aux_loss', 'job_id', 'hostname', 'user'), l.get_lock_holder()['pid'] == os.getpid()])(lock())",
    same: [
      true,
      ["baseline", "idd_aw", "deeplabv3plus_r50", null, null, "unknown", hostname(), userInfo().username],
      true,
    ],
  },
  { what: "get_lock_holder: free", scene: "free", call: "lock().get_lock_holder()", same: null },
  {
    what: "get_lock_holder: a dead job left its file",
    scene: "left free by a dead job",
    call: "lock().get_lock_holder() is None",
    old: false,
    new: true,
    why: "nobody holds it",
  },
  {
    what: "get_lock_holder: its record emptied",
    scene: "its record emptied",
    call: "(lock().get_lock_holder() or {}).get('pid') is not None",
    old: false,
    new: true,
    why: "the process that has the file locked is found",
  },
  {
    what: "with: free",
    scene: "free",
    call: "(lambda l: [l.__enter__() is l, l.__exit__(None, None, None), l.is_locked()])(lock())",
    same: [true, false, false],
  },
  {
    what: "with: held raises a RuntimeError",
    scene: "held by another",
    call: "raised(lambda: lock().__enter__())[0]",
    same: "RuntimeError",
  },
  {
    what: "with: the error names job, host and since when",
    scene: "held by another",
    call: "(lambda text, record: [record[key] in text for key in ('job_id', 'hostname', 'acquired_at')])(raised(lambda: lock().__enter__())[1], record)",
    old: [false, false, false],
    new: [true, true, true],
    why: "its own attempt had emptied the record before the error was written",
  },
  {
    what: "with: an exception passes through",
    scene: "free",
    call: "(lambda l: [l.__enter__() is l, l.__exit__(ValueError, ValueError('x'), None), lock().acquire()])(lock())",
    same: [true, false, true],
  },
  {
    what: "check_training_lock: free",
    scene: "free",
    call: "module.check_training_lock('baseline', 'IDD-AW', 'deeplabv3plus_r50')",
    same: true,
  },
  {
    what: "check_training_lock: held",
    scene: "held by another",
    call: "module.check_training_lock('baseline', 'IDD-AW', 'deeplabv3plus_r50', None, None)",
    same: false,
  },
  {
    what: "preflight_check: free",
    scene: "free",
    call: "module.preflight_check('baseline', 'IDD-AW', 'deeplabv3plus_r50')",
    same: true,
  },
  {
    what: "preflight_check: held",
    scene: "held by another",
    call: "module.preflight_check('baseline', 'IDD-AW', 'deeplabv3plus_r50')",
    same: false,
  },
  { what: "list_active_locks: none, and no folder", scene: "free", call: "module.list_active_locks()", same: [] },
  {
    what: "list_active_locks: held",
    scene: "held by another",
    call: "[some(found, 'lock_file', 'strategy', 'dataset', 'model', 'job_id', 'pid', 'acquired_at') for found in module.list_active_locks(locks)]",
  },
  {
    what: "list_active_locks: its record emptied",
    scene: "its record emptied",
    call: "len(module.list_active_locks())",
    old: 0,
    new: 1,
    why: "a lock that is held is a lock, whatever its file says",
  },
  {
    what: "list_active_locks: a dead job left its file",
    scene: "left free by a dead job",
    call: "module.list_active_locks(lock_dir=locks)",
    same: [],
  },
  {
    what: "clear_stale_locks: held",
    scene: "held by another",
    call: "module.clear_stale_locks(locks, False)",
    same: [],
  },
  {
    what: "clear_stale_locks: a dry run removes nothing",
    scene: "left free by a dead job",
    call: "[module.clear_stale_locks(lock_dir=locks), os.listdir(locks)]",
    same: [["{locks}/baseline_idd_aw_deeplabv3plus_r50.lock"], ["baseline_idd_aw_deeplabv3plus_r50.lock"]],
  },
  {
    what: "clear_stale_locks: removes what nobody holds",
    scene: "left free by a dead job",
    call: "[module.clear_stale_locks(dry_run=False), os.listdir(locks), module.clear_stale_locks()]",
    old: [["{locks}/baseline_idd_aw_deeplabv3plus_r50.lock"], [], []],
    new: [["{locks}/baseline_idd_aw_deeplabv3plus_r50.lock"], ["baseline_idd_aw_deeplabv3plus_r50.lock"], []],
    why: "a file that is removed can be locked by two; it stays, and says that it is free",
  },
  { what: "DEFAULT_LOCK_DIR", scene: "free", call: "module.DEFAULT_LOCK_DIR", same: "{locks}" },
];

/** Makes the scene; the record of whoever holds the lock. */
async function make(scene: Scene, of: TestConfiguration): Promise<string> {
  if (scene === "held by another" || scene === "its record emptied") {
    const job = pythonJob.start(of);
    await job.waitFor("HELD");
    const record = readFileSync(of.kernelLock, "utf8");
    if (scene === "its record emptied") writeFileSync(of.kernelLock, "");
    return record;
  }
  if (scene === "left free by a dead job") {
    const job = pythonJob.start(of);
    await job.waitFor("HELD");
    job.kill("SIGKILL");
    await job.finished;
  }
  if (scene === "a folder without permission") {
    mkdirSync(dirname(of.lockDir), { recursive: true });
    writeFileSync(of.lockDir, "a file where the folder belongs");
    chmodSync(of.lockDir, 0o444);
  }
  return "{}";
}

/** What each row says, with the paths and the holder of its own root taken out. */
async function say(module: string): Promise<unknown[]> {
  const scenes = await Promise.all(
    rows.map(async ({ scene, call }) => {
      const of = configuration(await temporaryRoot());
      return { of, scene, call, root: of.root, record: await make(scene, of) };
    }),
  );
  const asked = scenes.map(({ root, call, record }) => ({ root, call, record }));
  const ended = await python("/nowhere", program, [module, JSON.stringify(asked)]);
  if (ended.exitCode !== 0) throw new Error(ended.stderr);
  const values: readonly unknown[] = JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "");
  return values.map((value, index) => {
    const { of, scene, record } = scenes[index] ?? { of: configuration("/"), scene: "free", record: "{}" };
    const text = JSON.stringify(value).replaceAll(of.lockDir, "{locks}");
    return JSON.parse(scene === "held by another" ? withoutInstance(text, record) : text);
  });
}

/** PIDs and times of the two holders differ. */
function withoutInstance(text: string, record: string): string {
  const { pid, acquired_at: since } = JSON.parse(record);
  return text.replaceAll(String(pid), '"{pid}"').replaceAll(since, "{since}");
}

test("programs get from the new file what they got from the old one, call by call, or what is better for a reason", async () => {
  const [old, now] = [await say("old_training_lock"), await say("training_lock")];
  for (const [index, row] of rows.entries()) {
    const said = { old: old[index], now: now[index] };
    if (row.why !== undefined) expect.soft(said, `${row.what}, for ${row.why}`).toEqual({ old: row.old, now: row.new });
    else if (row.same === undefined) expect.soft(said.now, row.what).toEqual(said.old);
    else expect.soft(said, row.what).toEqual({ old: row.same, now: row.same });
  }
});
