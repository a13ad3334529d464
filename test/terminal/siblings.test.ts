import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { type Requirement, requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { startTerminal } from "./terminal.ts";

/** Says that it trains and, at Ctrl-C or what its launcher sends then, that it saves. */
const training = `trap 'echo saved >>"$1"; exit 130' INT TERM
echo trains >>"$1"
for ((n = 0; n < 600; n++)); do sleep 0.05; done
`;

const both = ["one", "two"] as const;

/** Launchers of two trainings at once. `$1` is a folder with what they need; `train NAME` is one training there. */
const launchers: Readonly<Record<string, { readonly needs: readonly Requirement[]; readonly call: string }>> = {
  "make -j 2": { needs: ["make"], call: "make -s -j 2 -C $AT" },
  "xargs -P 2": { needs: ["xargs"], call: "printf '%s\\n' one two | xargs -P 2 -n 1 $AT/train" },
  parallel: { needs: ["parallel"], call: "parallel --will-cite -j 2 $AT/train ::: one two" },
  "a program of Python": { needs: ["python3"], call: "python3 $AT/launch.py" },
  "make, each training behind a shell and timeout": { needs: ["make"], call: "make -s -j 2 -C $AT behind" },
};

const makefile = `.PHONY: all behind one two behind-one behind-two
all: one two
one two:
\t@./train $@
behind: behind-one behind-two
behind-one behind-two:
\t@bash -c 'timeout --foreground 60 ./train $(subst behind-,,$@); exit $$?'
`;

const launchPy = `import os, subprocess
trainings = [subprocess.Popen([os.environ["AT"] + "/train", name]) for name in ("one", "two")]
try:
    for each in trainings: each.wait()
except KeyboardInterrupt:
    for each in trainings: each.wait()
    raise SystemExit(130)
`;

describe("one Ctrl-C ends all trainings at once, and their launcher", () => {
  for (const [name, { needs, call }] of Object.entries(launchers)) {
    requiresPrograms(
      "tmux",
      "bash",
      ...needs,
    )(name, async () => {
      const root = await temporaryRoot();
      const of = (model: string) => configuration(root, "baseline", "IDD-AW", model);
      const logOf = (model: string) => readFile(join(root, `${model}.log`), "utf8").catch(() => "");
      const run = `exec ${executable} run --root ${root} --strategy baseline --dataset IDD-AW --model "$1"`;
      const files = {
        "train.sh": training,
        train: `#!/bin/bash\n${run} -- bash ${root}/train.sh ${root}/"$1".log\n`,
        Makefile: makefile,
        "launch.py": launchPy,
      };
      for (const [file, text] of Object.entries(files)) await writeFile(join(root, file), text, { mode: 0o755 });
      const at = await startTerminal({ AT: root });
      at.type(call);
      await until("both to train", async () =>
        (await Promise.all(both.map(logOf))).every((log) => log === "trains\n") ? true : null,
      );
      at.press("C-c");
      await until("both to have saved", async () =>
        (await Promise.all(both.map(logOf))).every((log) => log === "trains\nsaved\n") ? true : null,
      );
      at.type("echo launcher is over");
      await at.shows(/^launcher is over$/m);
      for (const model of both) {
        const next = await trainlock(["run", ...of(model).args, "--wait", "--", "echo", "free"]);
        expect(next).toMatchObject({ stdout: "free\n" });
      }
    });
  }
});
