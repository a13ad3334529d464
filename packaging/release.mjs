// Makes release/: the executables for x64 and arm64, packed by xz and gzip, with manual pages, completions and an environment
// module in share.tar.gz, the installer, the npm packages, and SHA256SUMS over all of it.
//
//   node packaging/release.mjs [--arch x64,arm64] [--no-xz] [--no-npm] [--sign KEY] [--out DIR]
//
// --sign: signs SHA256SUMS by `ssh-keygen -Y sign` with this private key; see docs/upgrading.md for how it is verified.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeManPages } from "./man-pages.mjs";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  allowNegative: true,
  options: {
    arch: { type: "string", default: "x64,arm64" },
    xz: { type: "boolean", default: true },
    npm: { type: "boolean", default: true },
    sign: { type: "string" },
    out: { type: "string", default: join(project, "release") },
  },
});
const mebibyte = 2 ** 20;
const largestPacked = 42 * mebibyte;
const largestLibrary = mebibyte;
/** The oldest C library that a released executable may need: that of CentOS 7. */
const newestGlibc = [2, 17];

const manifest = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
const release = resolve(values.out);
const scratch = mkdtempSync(join(tmpdir(), "trainlock-release-"));
try {
  rmSync(release, { recursive: true, force: true });
  mkdirSync(release, { recursive: true });
  const executables = values.arch.split(",").map((arch) => ({ arch, path: makeExecutable(arch) }));
  makeShare();
  copyFileSync(join(project, "packaging", "install.sh"), join(release, "install.sh"));
  for (const { path } of executables) pack(path);
  if (values.npm) makeNpmPackages(executables);
  writeChecksums();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function run(program, args, options = {}) {
  return execFileSync(program, args, { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8", ...options });
}

function makeExecutable(arch) {
  const path = join(release, `trainlock-linux-${arch}`);
  const runtime = arch === process.arch ? [] : ["--runtime", otherRuntime(arch)];
  run(process.execPath, [
    join(project, "scripts", "build-executable.mjs"),
    "--arch",
    arch,
    "--outfile",
    path,
    ...runtime,
  ]);
  const needed = [
    ...readFileSync(path)
      .toString("latin1")
      .matchAll(/GLIBC_(\d+)\.(\d+)/g),
  ];
  const tooNew = needed.find(([, major, minor]) => major > newestGlibc[0] || Number(minor) > newestGlibc[1]);
  if (tooNew !== undefined) throw new Error(`${path} needs ${tooNew[0]}: it would not run on older hosts`);
  console.log(`${path}: ${size(path)}`);
  return path;
}

/** Bun for another processor, from its npm package, whose checksum is in our lock file. */
function otherRuntime(arch) {
  const name = `@oven/bun-linux-${arch === "arm64" ? "aarch64" : arch}`;
  const lock = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8"));
  const { version, integrity } = lock.packages[`node_modules/${name}`];
  const installed = createRequire(import.meta.url)
    .resolve.paths(name)
    .map((folder) => join(folder, name));
  const found = installed.map((folder) => join(folder, "bin", "bun")).find((path) => existsSync(path));
  if (found !== undefined) return found;
  const [packed] = JSON.parse(run("npm", ["pack", "--json", `${name}@${version}`], { cwd: scratch }));
  const file = join(scratch, packed.filename);
  const digest = `sha512-${createHash("sha512").update(readFileSync(file)).digest("base64")}`;
  if (digest !== integrity) throw new Error(`${name}@${version} is not the package of package-lock.json: ${digest}`);
  run("tar", ["xzf", file, "-C", scratch, "package/bin/bun"]);
  return join(scratch, "package", "bin", "bun");
}

function makeShare() {
  const own = join(release, `trainlock-linux-${process.arch}`);
  const share = join(scratch, "share");
  const put = (path, text) => {
    mkdirSync(dirname(join(share, path)), { recursive: true });
    writeFileSync(join(share, path), text);
  };
  writeManPages(own, join(share, "man", "man1"));
  const completion = (shell) => run(own, ["completion", shell], { env: {} });
  put("bash-completion/completions/trainlock", completion("bash"));
  put("zsh/site-functions/_trainlock", completion("zsh"));
  put("fish/vendor_completions.d/trainlock.fish", completion("fish"));
  put(`modulefiles/trainlock/${manifest.version}`, readFileSync(join(project, "packaging", "modulefile.tcl")));
  put("trainlock/LICENSE", readFileSync(join(project, "LICENSE")));
  const python = join(project, "python", "training_lock.py");
  if (existsSync(python)) put("trainlock/training_lock.py", readFileSync(python));
  // The same files make the same archive, whoever packs them and when.
  const sameForAll = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--mode=u=rwX,go=rX"];
  run("tar", [...sameForAll, "-cf", join(scratch, "share.tar"), "-C", scratch, "share"]);
  writeFileSync(
    join(release, "share.tar.gz"),
    run("gzip", ["-9nc", join(scratch, "share.tar")], { encoding: "buffer" }),
  );
}

function pack(path) {
  const inOnePiece = { encoding: "buffer", maxBuffer: 256 * mebibyte };
  writeFileSync(`${path}.gz`, run("gzip", ["-6nc", path], inOnePiece));
  console.log(`${path}.gz: ${size(`${path}.gz`)}`);
  if (!values.xz) return;
  writeFileSync(`${path}.xz`, run("xz", ["-6", "-T1", "-c", path], inOnePiece));
  console.log(`${path}.xz: ${size(`${path}.xz`)}`);
  if (statSync(`${path}.xz`).size > largestPacked) throw new Error(`${path}.xz is larger than 42 MiB`);
}

/** The library, with a starter for the executable; and a package for each executable. */
function makeNpmPackages(executables) {
  const npm = join(release, "npm");
  mkdirSync(npm);
  const { version, license, engines } = manifest;
  for (const { arch, path } of executables) {
    const folder = join(scratch, `linux-${arch}`);
    mkdirSync(folder);
    copyFileSync(path, join(folder, "trainlock"));
    chmodSync(join(folder, "trainlock"), 0o755);
    copyFileSync(join(project, "LICENSE"), join(folder, "LICENSE"));
    const name = `@trainlock/linux-${arch}`;
    const description = `The executable of trainlock for Linux on ${arch}`;
    writeManifest(folder, {
      name,
      version,
      description,
      license,
      os: ["linux"],
      cpu: [arch],
      files: ["trainlock", "LICENSE"],
    });
    run("npm", ["pack", "--pack-destination", npm], { cwd: folder });
  }
  run("npm", ["run", "--silent", "build:lib"], { cwd: project });
  const folder = join(scratch, "trainlock");
  cpSync(join(project, "dist", "lib"), join(folder, "dist", "lib"), { recursive: true });
  for (const file of ["README.md", "CHANGELOG.md", "LICENSE"]) copyFileSync(join(project, file), join(folder, file));
  copyFileSync(join(project, "packaging", "trainlock.mjs"), join(folder, "trainlock.mjs"));
  const { name, description, type, main, types, exports, dependencies } = manifest;
  const optionalDependencies = Object.fromEntries(executables.map(({ arch }) => [`@trainlock/linux-${arch}`, version]));
  const library = {
    name,
    version,
    description,
    license,
    type,
    engines,
    main,
    types,
    exports,
    dependencies,
    optionalDependencies,
  };
  writeManifest(folder, { ...library, bin: { trainlock: "./trainlock.mjs" } });
  run("npm", ["pack", "--pack-destination", npm], { cwd: folder });
  const packed = join(npm, `trainlock-${version}.tgz`);
  if (statSync(packed).size > largestLibrary) throw new Error(`${packed} is larger than 1 MiB`);
}

function writeManifest(folder, content) {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(content, null, 2)}\n`);
}

function writeChecksums() {
  const files = ["", "npm/"].flatMap((folder) => {
    const path = join(release, folder);
    return existsSync(path) ? readdirSync(path).map((name) => `${folder}${name}`) : [];
  });
  const lines = files
    .filter((name) => statSync(join(release, name)).isFile())
    .sort()
    .map(
      (name) =>
        `${createHash("sha256")
          .update(readFileSync(join(release, name)))
          .digest("hex")}  ${name}\n`,
    );
  const sums = join(release, "SHA256SUMS");
  writeFileSync(sums, lines.join(""));
  if (values.sign === undefined) return;
  run("ssh-keygen", ["-Y", "sign", "-q", "-f", values.sign, "-n", "trainlock", sums]);
}

function size(path) {
  return `${(statSync(path).size / mebibyte).toFixed(1)} MiB`;
}
