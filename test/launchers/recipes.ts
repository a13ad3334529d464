import { readFileSync } from "node:fs";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { configuration } from "../support/configuration.ts";
import { type RunningProcess, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";

const page = readFileSync(fileURLToPath(new URL("../../docs/launchers.md", import.meta.url)), "utf8");

/** The page's blocks of code by their names. */
export const recipes: ReadonlyMap<string, string> = new Map(
  [...page.matchAll(/<!-- recipe: (\S+) -->\n\n```\w+\n([\s\S]*?)```/g)].map(([, name = "", text = ""]) => [
    name,
    text,
  ]),
);

/** The text of a torchrun that works with Debian's packages. */
export const debianTorchrun = readFileSync(
  fileURLToPath(new URL("../support/peers/debian_torchrun.py", import.meta.url)),
  "utf8",
);

/** Notes its beginning and its end with its rank, waits to be let go where it is told so, and leaves a checkpoint. */
const training = `
import os, sys, time
def note(what):
    with open(os.environ["LOG"], "a") as log:
        log.write("%s %s %s %.6f\\n" % (os.environ["TRAINLOCK_NAME"], os.environ.get("RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "-")), what, time.time()))
note("begin")
time.sleep(float(os.environ.get("LASTS", "0.2")))
open(os.path.join(os.environ["TRAINLOCK_WEIGHTS_DIR"], "last.pth"), "w").write("weights")
note("end")
`;

export interface Trained {
  readonly name: string;
  readonly rank: string;
  readonly from: number;
  /** Null: it never said that it had ended. */
  readonly to: number | null;
}

/** A folder to start recipes in, with a training, and \`python\` and trainlock on the PATH. */
export interface Desk {
  readonly root: string;
  of(model: string): ReturnType<typeof configuration>;
  write(name: string, text: string): Promise<void>;
  /** What of the PATH comes first. */
  program(name: string, text: string): Promise<void>;
  start(script: string, env?: Readonly<Record<string, string>>): RunningProcess;
  trained(): Promise<Trained[]>;
}

export async function desk(): Promise<Desk> {
  const root = await temporaryRoot();
  const [bin, log] = [join(root, "bin"), join(root, "log")];
  await mkdir(bin);
  await symlink("/usr/bin/python3", join(bin, "python"));
  await writeFile(join(root, "train.py"), training);
  await writeFile(log, "");
  const path = `${bin}:${dirname(executable)}:/usr/local/bin:/usr/bin:/bin`;
  return {
    root,
    of: (model) => configuration(root, "baseline", "IDD-AW", model),
    write: (name, text) => writeFile(join(root, name), text),
    program: async (name, text) => {
      await writeFile(join(bin, name), text);
      await chmod(join(bin, name), 0o755);
    },
    start: (script, env = {}) =>
      startProcess("bash", ["-c", script], {
        cwd: root,
        env: environment({ TRAINLOCK_ROOT: root, LOG: log, PATH: path, ...env }),
        timeoutMs: 120_000,
      }),
    trained: async () => trainedIn(await readFile(log, "utf8")),
  };
}

function trainedIn(log: string): Trained[] {
  const lines = log.split("\n").filter((line) => line !== "");
  const open: { name: string; rank: string; from: number; to: number | null }[] = [];
  for (const line of lines) {
    const [name = "", rank = "", what, at] = line.split(" ");
    const begun = open.find((each) => each.name === name && each.rank === rank && each.to === null);
    if (what === "begin") open.push({ name, rank, from: Number(at), to: null });
    else if (begun !== undefined) begun.to = Number(at);
  }
  return open;
}

/** The names that were trained, each as often as it was, in alphabetical order. */
export function namesOf(trained: readonly Trained[]): string[] {
  return trained.map(({ name }) => name.replace(/^.*\//, "")).sort();
}
