import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { asNobody } from "../e2e/nobody.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const test = requiresPrograms("root", "setpriv");

test("a row is unknown whose need cannot be looked at, unless another is missing or it is done; it is not trained", async () => {
  const root = await temporaryRoot();
  const weights = (name: string) => join(root, "WEIGHTS", name, "d_cd", "m");
  for (const folder of [join(root, "closed", "in"), weights("base"), weights("done"), join(root, "training_locks")])
    mkdirSync(folder, { recursive: true });
  writeFileSync(join(weights("done"), "final.pth"), Buffer.alloc(2048));
  const grid = join(root, "grid.yaml");
  writeFileSync(
    grid,
    `- { strategy: [path, done], dataset: D, model: m, needs: [closed/in] }
- { strategy: row, dataset: D, model: m, needs: [{ strategy: base }] }
- { strategy: both, dataset: D, model: m, needs: [closed/in, not-there] }
`,
  );
  chmodSync(root, 0o755);
  for (const closed of [join(root, "closed"), join(root, "WEIGHTS", "base")]) chmodSync(closed, 0o700);
  const call = await asNobody();
  const site = ["--root", root, "--scheduler", "none", "--done-when", "final.pth"];
  const { stdout, exitCode } = await call(["plan", grid, ...site]);
  expect(exitCode).toBe(3);
  expect(stdout).toMatch(/^unknown {2}path\/d\/m {2}cannot look at what it needs, \S+\/closed\/in: EACCES$/m);
  expect(stdout).toMatch(/^done {5}done\/d\/m {2}final\.pth$/m);
  expect(stdout).toMatch(
    /^unknown {2}row\/d\/m {3}whether base\/d\/m is done, which it needs, is not known: .*EACCES$/m,
  );
  expect(stdout).toMatch(/^blocked {2}both\/d\/m {2}needs \S+\/not-there, which is not there$/m);
  const worker = await call(["work", grid, ...site, "--", "true"]);
  expect(worker.exitCode).toBe(3);
  expect(worker.stderr.match(/EACCES/g)).toHaveLength(2);
  expect(worker.stdout).not.toContain("started");
});
