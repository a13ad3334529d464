import { chmodSync, chownSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { clearStaleLocks, listAllLocks, preflightCheck } from "../../src/library/lists.ts";
import { TrainingLock } from "../../src/library/training-lock.ts";
import { UsageError } from "../../src/model/errors.ts";
import { openLayout } from "../../src/site/open-site.ts";
import { parseSiteFile } from "../../src/site/site-file.ts";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const path = "the absolute path of a file";
const credentials =
  /^site:\d: store(\.address)?: expected an address without user, password and options \(.*TRAINLOCK_STORE_PASSWORD_FILE.*\)$/;

const mistakes: readonly (readonly [text: string, message: string | RegExp])[] = [
  ["store:\n", "site:1: store: expected an address such as etcd://host:2379, found nothing"],
  ["store: [etcd://a]\n", "site:1: store: expected an address such as etcd://host:2379, found a list"],
  ["store: /var/locks\n", 'site:1: store: expected an address such as etcd://host:2379, found "/var/locks"'],
  ["store: etcd:a\n", 'site:1: store: expected an address such as etcd://host:2379, found "etcd:a"'],
  [
    "\nstore: redis://a\n",
    /^site:2: store: expected etcd:\/\/ or etcds:\/\/, the only stores .*, found "redis:\/\/a"$/,
  ],
  ["store: etcd://\n", 'site:1: store: expected a host after etcd://, found "etcd://"'],
  ["store: etcds:///prefix\n", /^site:1: store: expected a host after etcds:/],
  ["store: 'etcd://a b'\n", /^site:1: store: expected an address without blanks and control characters/],
  ["store: etcd://alice:secret@host\n", credentials],
  ["store: alice:secret@host\n", credentials],
  ["store: etcd://host?password=secret\n", credentials],
  ["store: { address: 'etcd://host#secret' }\n", credentials],
  ["store: {}\n", "site:1: store: expected an `address`, found a mapping"],
  ["store:\n  addres: etcd://a\n", "site:2: store.addres: no such key; did you mean address?"],
  ["store:\n  address: 3\n", "site:2: store.address: expected an address such as etcd://host:2379, found 3"],
  ["store:\n  address: etcd://a\n  ttl: 4s\n", 'site:3: store.ttl: expected a duration from 5s to 1h, found "4s"'],
  ["store:\n  address: etcd://a\n  ttl: 61m\n", 'site:3: store.ttl: expected a duration from 5s to 1h, found "61m"'],
  ["store:\n  address: etcd://a\n  ttl: soon\n", 'site:3: store.ttl: expected a duration from 5s to 1h, found "soon"'],
  ["store:\n  address: etcd://a\n  ca: ca.pem\n", `site:3: store.ca: expected ${path}, found "ca.pem"`],
  ["store:\n  address: etcd://a\n  cert: [a]\n", `site:3: store.cert: expected ${path}, found a list`],
  ["store:\n  address: etcd://a\n  key:\n", `site:3: store.key: expected ${path}, found nothing`],
  ["store:\n  address: etcd://a\n  password_file: pw\n", `site:3: store.password_file: expected ${path}, found "pw"`],
  ["store:\n  address: etcd://a\n  password: pw\n", /^site:3: store.password: no such key; /],
  ["store:\n  address: etcd://a\n  user: 'a b'\n", 'site:3: store.user: expected a user name, found "a b"'],
  [
    "store:\n  address: etcd://a\n  also_marker: maybe\n",
    'site:3: store.also_marker: expected true, false or auto, found "maybe"',
  ],
];

test.each(mistakes)("names line, key and what was expected: %j", (text, message) => {
  let thrown: unknown;
  try {
    parseSiteFile(text, "site");
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(UsageError);
  const said = thrown instanceof UsageError ? thrown.message : "";
  if (typeof message === "string") expect(said).toBe(message);
  else expect(said).toMatch(message);
  expect(said).not.toContain("secret");
});

const all = `store:
  address: etcds://a:2379,b:2379/locks
  ttl: 30s
  ca: /etc/ca.pem
  cert: /etc/cert.pem
  key: /etc/key.pem
  user: alice
  password_file: /etc/password
  also_marker: true
`;

async function site(text: string): Promise<{ root: string; file: string }> {
  const root = await temporaryRoot();
  const file = join(root, "trainlock.yaml");
  writeFileSync(file, text);
  chmodSync(file, 0o644);
  return { root, file };
}

async function storeSettings(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { stdout, stderr, exitCode } = await trainlock(["config", "--json", ...args], { env });
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  const settings: { key: string; value: unknown; from: string }[] = JSON.parse(stdout).settings;
  return Object.fromEntries(
    settings.filter(({ key }) => key.startsWith("store")).map(({ key, value, from }) => [key, [value, from]]),
  );
}

describe("what is in force, and who says so", () => {
  test("nothing: locks are on the file system", async () => {
    const { root } = await site("");
    expect(await storeSettings(["--root", root])).toEqual({ store: [null, "default"] });
    expect(openLayout({ root }, {}).store).toBeNull();
  });

  test("all from the site's file", async () => {
    const { root, file } = await site(all);
    expect(await storeSettings(["--root", root])).toEqual({
      store: ["etcds://a:2379,b:2379/locks", `${file}:2`],
      "store.ttl": ["30s", `${file}:3`],
      "store.ca": ["/etc/ca.pem", `${file}:4`],
      "store.cert": ["/etc/cert.pem", `${file}:5`],
      "store.key": ["/etc/key.pem", `${file}:6`],
      "store.user": ["alice", `${file}:7`],
      "store.password_file": ["/etc/password", `${file}:8`],
      "store.also_marker": ["true", `${file}:9`],
    });
    expect(openLayout({ root }, {}).store).toEqual({
      address: "etcds://a:2379,b:2379/locks",
      ttlMs: 30_000,
      caFile: "/etc/ca.pem",
      certFile: "/etc/cert.pem",
      keyFile: "/etc/key.pem",
      user: "alice",
      passwordFile: "/etc/password",
      alsoMarker: true,
    });
  });

  test("an address alone, with what is missing left to itself", async () => {
    const { root, file } = await site("store: etcd://a:2379\n");
    const settings = await storeSettings(["--root", root]);
    expect(settings).toMatchObject({ store: ["etcd://a:2379", `${file}:1`], "store.ttl": ["60s", "default"] });
    expect(settings["store.also_marker"]).toEqual(["auto", "default"]);
    expect(openLayout({ root }, {}).store).toMatchObject({ ttlMs: 60_000, alsoMarker: null, caFile: null });
  });

  test("the environment goes before the file, and --store before both", async () => {
    const { root, file } = await site("store:\n  address: etcds://file\n  ttl: 1m\n  also_marker: auto\n");
    const env = { TRAINLOCK_STORE: "etcds://variable", TRAINLOCK_STORE_CA: "/ca", TRAINLOCK_STORE_USER: "" };
    expect(await storeSettings(["--root", root], env)).toMatchObject({
      store: ["etcds://variable", "TRAINLOCK_STORE"],
      "store.ttl": ["60s", `${file}:3`],
      "store.ca": ["/ca", "TRAINLOCK_STORE_CA"],
      "store.user": [null, "default"],
      "store.also_marker": ["auto", `${file}:4`],
    });
    expect(await storeSettings(["--root", root, "--store", "etcds://flag"], env)).toMatchObject({
      store: ["etcds://flag", "--store"],
    });
  });

  test("run's own options go before the file", async () => {
    const { root } = await site(all);
    const { store } = openLayout({ root, ttl: "2m", alsoMarker: false }, {});
    expect(store).toMatchObject({ ttlMs: 120_000, alsoMarker: false });
  });
});

describe("a wrong call", () => {
  const run = (root: string, args: readonly string[], env = {}) =>
    trainlock(["run", ...configuration(root).args, ...args, "--", "true"], { env });

  test.each([
    [["--store", ""], "--store is empty"],
    [["--store", "redis://a"], '--store "redis://a": expected etcd:// or etcds://'],
    [["--store", "etcd://alice:secret@a"], "--store: expected an address without user, password and options"],
    [["--ttl", "30s"], "--ttl is for locks that are kept in a store, and there is none"],
    [["--also-marker"], "--also-marker is for locks that are kept in a store"],
    [["--no-also-marker"], "--no-also-marker is for locks that are kept in a store"],
    [["--store", "etcd://a", "--ttl", "2h"], '--ttl "2h": expected a duration from 5s to 1h'],
  ])("%j: exit 2", async (args, message) => {
    const { exitCode, stderr } = await run(await temporaryRoot(), args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("secret");
    expect(exitCode).toBe(2);
  });

  test.each([
    [{ TRAINLOCK_STORE: "a:b" }, 'TRAINLOCK_STORE "a:b": expected an address such as etcd://host:2379'],
    [{ TRAINLOCK_STORE: "etcd://u:secret@a" }, "TRAINLOCK_STORE: expected an address without user, password and"],
    [{ TRAINLOCK_STORE_CA: "ca.pem" }, 'TRAINLOCK_STORE_CA "ca.pem": expected the absolute path of a file'],
    [{ TRAINLOCK_STORE_USER: "a b" }, 'TRAINLOCK_STORE_USER "a b": expected a user name'],
    [{ TRAINLOCK_STORE_CERT: "/cert" }, "TRAINLOCK_STORE_CERT: the store's cert is given without its key"],
    [{ TRAINLOCK_STORE_KEY: "/key" }, "TRAINLOCK_STORE_KEY: the store's key is given without its cert"],
    [
      { TRAINLOCK_STORE_CA: "/ca", TRAINLOCK_STORE: "etcd://a" },
      "TRAINLOCK_STORE_CA: the store's ca is of no use with",
    ],
  ])("%j in the environment: exit 2", async (env, message) => {
    const { exitCode, stderr } = await run(await temporaryRoot(), [], { TRAINLOCK_STORE: "etcds://a", ...env });
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("secret");
    expect(exitCode).toBe(2);
  });
});

describe("a file that was found in the root, and that others may have written", () => {
  const refusal = "decides where a password or key goes, and others may write it";
  const config = (root: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}) =>
    trainlock(["config", "--root", root, ...args], { env });

  test("neither names secrets nor where they go", async () => {
    const { root, file } = await site(all);
    chmodSync(file, 0o664);
    expect(await config(root)).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(refusal) });
    expect(await config(root, ["--config", file])).toMatchObject({ exitCode: 0 });
    writeFileSync(file, "store: etcds://elsewhere\n");
    expect(await config(root)).toMatchObject({ exitCode: 0 });
    const secret = { TRAINLOCK_STORE_USER: "alice", TRAINLOCK_STORE_PASSWORD_FILE: "/password" };
    expect(await config(root, [], secret)).toMatchObject({ exitCode: 3 });
    expect(await config(root, ["--store", "etcds://mine"], secret)).toMatchObject({ exitCode: 0 });
  });

  test.each([
    ["the address", "store: etcd://elsewhere\n", {}],
    ["the authority", "store:\n  address: etcds://elsewhere\n  ca: /ca\n", { TRAINLOCK_STORE: "etcds://mine" }],
    ["address and user", "store:\n  address: etcd://elsewhere\n  user: alice\n", {}],
  ])("%s that it names gets no password of the environment", async (_, text, env) => {
    const { root, file } = await site(text);
    const password = { TRAINLOCK_STORE_USER: "alice", TRAINLOCK_STORE_PASSWORD: "secret", ...env };
    expect(await config(root, [], password)).toMatchObject({ exitCode: 0 });
    chmodSync(file, 0o666);
    const refused = { exitCode: 3, stdout: "", stderr: expect.stringContaining(refusal) };
    expect(await config(root, [], password)).toMatchObject(refused);
    expect(await trainlock(["list", "--root", root], { env: password })).toMatchObject(refused);
    expect(await trainlock(["check", ...configuration(root).args], { env: password })).toMatchObject(refused);
    expect(await config(root, [], { ...password, TRAINLOCK_STORE_PASSWORD: "" })).toMatchObject({ exitCode: 0 });
  });

  requiresPrograms("root")("nor when it belongs to a stranger", async () => {
    const { root, file } = await site(all);
    chownSync(file, 12345, 0);
    expect(await config(root)).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(refusal) });
    chownSync(root, 12345, 0);
    expect(await config(root)).toMatchObject({ exitCode: 0 });
  });
});

describe("a store that nobody answers at", () => {
  // Nothing listens at port 1 of this host.
  const store = "etcd://127.0.0.1:1";
  const refused = "etcd at 127.0.0.1:1";

  test.each([["check"], ["run"], ["held", "--generation", "1"]])("%s ends with exit 3", async (command, ...args) => {
    const of = configuration(await temporaryRoot());
    const rest = command === "run" ? ["--", "true"] : args;
    const called = await trainlock([command, ...of.args, "--store", store, ...rest]);
    expect(called).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(refused) });
    expect(readdirSync(of.root)).toEqual([]);
  });

  test.each([
    ["list", "lock"],
    ["clear", "stale lock"],
  ])("%s ends with exit 3, and does not say that there is none", async (command, what) => {
    const called = await trainlock([command, "--root", await temporaryRoot()], { env: { TRAINLOCK_STORE: store } });
    const stdout = `Found no ${what} in what could be read; the store was not\n`;
    expect(called).toMatchObject({ exitCode: 3, stdout, stderr: expect.stringContaining(refused) });
  });

  test("doctor finds it, and ends with exit 1", async () => {
    const called = await trainlock(["doctor", "--root", await temporaryRoot(), "--store", store]);
    expect(called).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/FAULT +etcd endpoint +127.0.0.1:1/) });
  });

  test("a claim in it is not known to be held", async () => {
    const env = { TRAINLOCK_TOKEN: "0".repeat(32), TRAINLOCK_GENERATION: "1", TRAINLOCK_LOCK: `${store}/locks/x` };
    expect(await trainlock(["held"], { env })).toMatchObject({ exitCode: 3 });
  });

  test("the library says so, too", async () => {
    const { root } = configuration(await temporaryRoot());
    const options = { strategy: "a", dataset: "b", model: "c", root, store };
    await expect(new TrainingLock(options).acquire()).rejects.toThrow(refused);
    for (const ask of [preflightCheck, listAllLocks, clearStaleLocks])
      await expect(ask(options)).rejects.toThrow(refused);
    expect(() => new TrainingLock({ ...options, store: "redis://a" })).toThrow(UsageError);
  });
});
