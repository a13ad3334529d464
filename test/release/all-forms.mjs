// Makes a whole release and uses each of its forms: both executables, xz and gzip, npm packages, the environment module.
// Takes minutes and needs a network for the packages of npm: npm run test:release
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const project = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const scratch = mkdtempSync(join(tmpdir(), "trainlock-forms-"));
const release = join(scratch, "release");
const version = JSON.parse(execFileSync("cat", [join(project, "package.json")], { encoding: "utf8" })).version;
const mebibyte = 2 ** 20;
const say = (text) => console.log(`ok: ${text}`);
/** What cannot be tried here. On a build server each of these is a gate. */
const skip = (text) => {
  if (process.env.CI === "true") throw new Error(`CI=true, and skipped: ${text}`);
  console.log(`skipped: ${text}`);
};
const output = (program, args, options = {}) =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], ...options });

try {
  output("node", [join(project, "packaging", "release.mjs"), "--out", release]);
  for (const arch of ["x64", "arm64"]) {
    const packed = statSync(join(release, `trainlock-linux-${arch}.xz`)).size;
    assert.ok(packed <= 42 * mebibyte);
    say(`trainlock-linux-${arch}.xz has ${(packed / mebibyte).toFixed(1)} MiB`);
  }
  output("sha256sum", ["-c", "--quiet", "SHA256SUMS"], { cwd: release });
  say("all checksums are right");
  usedWithoutAvx();
  usedOnArm();
  usedFromXz();
  usedFromNpm();
  usedAsModule();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function root(name) {
  const folder = join(scratch, name);
  mkdirSync(join(folder, "WEIGHTS"), { recursive: true });
  return folder;
}

/** One claim, refused while it is held, and free after it. */
function useIt(command, name) {
  const [program, ...before] = command;
  const of = ["--strategy", "s", "--dataset", "d", "--model", "m", "--root", root(name)];
  const inner = [...command, "check", ...of].map((word) => `'${word}'`).join(" ");
  const run = spawnSync(program, [...before, "run", ...of, "--", "sh", "-c", `${inner}; test $? = 1`], {
    encoding: "utf8",
  });
  assert.equal(run.status, 0, run.stderr);
  assert.equal(spawnSync(program, [...before, "check", ...of]).status, 0);
}

function emulated(program, args, what) {
  if (spawnSync(program, ["--version"]).status === 0) {
    useIt([program, ...args], what.replaceAll(" ", "-"));
    say(what);
  } else skip(`${what}: ${program} is not installed`);
}

function usedWithoutAvx() {
  emulated(
    "qemu-x86_64",
    ["-cpu", "Nehalem", join(release, "trainlock-linux-x64")],
    "x64 runs on a processor without AVX",
  );
}

function usedOnArm() {
  const libraries = ["/usr/aarch64-linux-gnu", "/"].find((each) => existsSync(join(each, "lib/ld-linux-aarch64.so.1")));
  const path = join(release, "trainlock-linux-arm64");
  if (libraries === undefined) skip("arm64: there is no C library of it, see libc6-arm64-cross");
  else emulated("qemu-aarch64", ["-L", libraries, path], "arm64 runs under emulation");
}

function usedFromXz() {
  const prefix = join(scratch, "prefix");
  rmSync(join(release, "trainlock-linux-x64"));
  output("sh", [join(release, "install.sh"), "--prefix", prefix]);
  useIt([join(prefix, "bin/trainlock")], "xz");
  say("installed from .xz");
}

function usedFromNpm() {
  const folder = join(scratch, "npm");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "name": "user", "private": true, "type": "module" }\n');
  const packed = readdirSync(join(release, "npm")).filter((name) => !name.includes("arm64"));
  const files = packed.map((name) => join(release, "npm", name));
  output("npm", ["install", "--no-audit", "--no-fund", ...files], { cwd: folder });
  useIt([join(folder, "node_modules/.bin/trainlock")], "npm-executable");
  const program = `
    import { TrainingLock } from "trainlock";
    const of = { strategy: "s", dataset: "d", model: "m" };
    const [one, two] = [new TrainingLock(of), new TrainingLock(of)];
    if (!(await one.acquire()) || (await two.acquire())) process.exit(1);
    await one.release();
    one.spawn("true", []).on("exit", (code) => process.exit(code));
  `;
  writeFileSync(join(folder, "program.mjs"), program);
  for (const runtime of ["node", join(project, "node_modules", ".bin", "bun")])
    output(runtime, ["program.mjs"], {
      cwd: folder,
      env: { ...process.env, TRAINLOCK_ROOT: root(`npm-library-${basename(runtime)}`) },
    });
  say("executable and library from npm's packages, on Node and Bun");
}

function usedAsModule() {
  const init = ["/usr/share/modules/init/sh", "/etc/profile.d/modules.sh"].find((path) => existsSync(path));
  if (init === undefined) return skip("the module: environment-modules is not installed");
  const prefix = join(scratch, "prefix");
  const script = `
    . ${init}; module use '${prefix}/share/modulefiles'; module load trainlock
    trainlock --version; man -w trainlock-run; man -w man
    module unload trainlock; ! command -v trainlock`;
  // With the pages of the system named, and not: loading the module never hides them.
  for (const pages of [{}, { MANPATH: "/usr/share/man:" }]) {
    const said = output("sh", ["-ec", script], { env: { PATH: "/usr/bin:/bin", ...pages } });
    assert.ok(said.includes(`trainlock ${version} `), said);
  }
  say("loaded as an environment module");
}
