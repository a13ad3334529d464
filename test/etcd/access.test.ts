import { chmod, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { etcdAccess } from "../../src/etcd/access.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { noAccess } from "./cluster.ts";

async function passwordFile(text: string, mode = 0o600): Promise<string> {
  const path = join(await temporaryRoot(), "password");
  await writeFile(path, text);
  await chmod(path, mode);
  return path;
}

const nothing = { ca: null, cert: null, key: null, user: null, passwordFile: null };

test("where nothing is said there is neither TLS file nor user", () => {
  expect(etcdAccess({}, nothing)).toEqual(noAccess);
  expect(etcdAccess({ TRAINLOCK_STORE_USER: "", TRAINLOCK_STORE_CA: "" }, nothing)).toEqual(noAccess);
});

test("the environment wins over the site's file, each value by itself", () => {
  const declared = { ...nothing, ca: "/site/ca.pem", cert: "/site/c.pem", key: "/site/k.pem" };
  expect(etcdAccess({ TRAINLOCK_STORE_CA: "/own/ca.pem" }, declared)).toMatchObject({
    caFile: "/own/ca.pem",
    certFile: "/site/c.pem",
    keyFile: "/site/k.pem",
  });
});

test("a relative path is one of the folder at hand, also for a process that has another", () => {
  expect(etcdAccess({ TRAINLOCK_STORE_CA: "ca.pem" }, nothing).caFile).toBe(join(process.cwd(), "ca.pem"));
});

test("a password is read from its file, without the newline at its end", async () => {
  const path = await passwordFile(" two  words \n");
  const expected = { user: "alice", password: " two  words " };
  expect(etcdAccess({}, { ...nothing, user: "alice", passwordFile: path })).toMatchObject(expected);
  const env = { TRAINLOCK_STORE_USER: "alice", TRAINLOCK_STORE_PASSWORD_FILE: path };
  expect(etcdAccess(env, nothing)).toMatchObject(expected);
  expect(etcdAccess({ ...env, TRAINLOCK_STORE_PASSWORD: "own" }, nothing).password).toBe("own");
});

test("a password file may be a link, as mounted secrets are, and its group may read it", async () => {
  const path = await passwordFile("secret", 0o640);
  await symlink(path, `${path}-link`);
  expect(etcdAccess({}, { ...nothing, user: "alice", passwordFile: `${path}-link` }).password).toBe("secret");
});

test("a password that others can read is refused", async () => {
  for (const mode of [0o604, 0o644, 0o602]) {
    const path = await passwordFile("secret", mode);
    const read = () => etcdAccess({}, { ...nothing, user: "alice", passwordFile: path });
    expect(read).toThrow(expect.objectContaining({ code: "ERR_PASSWORD_EXPOSED", exitCode: 3 }));
    expect(read).toThrow(path);
  }
});

test("a password file that holds no password is refused", async () => {
  const read = (path: string) => () => etcdAccess({}, { ...nothing, user: "alice", passwordFile: path });
  expect(read(await passwordFile("\n"))).toThrow("it is empty");
  expect(read(await passwordFile("x".repeat(5000)))).toThrow("too long");
  expect(read("/dev/null")).toThrow("not a regular file");
  expect(read("/nowhere/password")).toThrow(expect.objectContaining({ code: "ENOENT" }));
});

test("a half is refused: a key without its certificate, a user without a password", () => {
  const halves = {
    "/k.pem": { TRAINLOCK_STORE_KEY: "/k.pem" },
    "/c.pem": { TRAINLOCK_STORE_CERT: "/c.pem" },
    '"alice"': { TRAINLOCK_STORE_USER: "alice" },
    "no user": { TRAINLOCK_STORE_PASSWORD: "secret" },
  };
  for (const [named, env] of Object.entries(halves)) {
    const usageError = expect.objectContaining({ exitCode: 2, message: expect.stringContaining(named) });
    expect(() => etcdAccess(env, nothing)).toThrow(usageError);
  }
});
