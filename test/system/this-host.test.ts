import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { thisHost } from "../../src/system/processes/this-host.ts";
import { finish } from "../support/running-process.ts";

const bun = resolve("node_modules/.bin/bun");
const printThisHost = `import { thisHost } from "./src/system/processes/this-host.ts"; console.log(JSON.stringify(thisHost()));`;

async function thisHostOnBun(env: NodeJS.ProcessEnv): Promise<ReturnType<typeof thisHost>> {
  return JSON.parse((await finish(bun, ["-e", printThisHost], { env })).stdout);
}

test("says who we are", () => {
  const host = thisHost();
  expect(host).toMatchObject({ hostname: hostname(), pid: process.pid, uid: process.getuid?.() });
  expect(host.user).not.toBe("");
  expect(host.bootId).toBe(readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  expect(host.pidNamespace).toBe(statSync("/proc/self/ns/pid").ino);
  expect(host.inInitialPidNamespace).toBe(host.pidNamespace === 4026531836);
  expect(host.startTimeTicks).toBeGreaterThan(0);
});

test("asks once", () => {
  expect(thisHost()).toBe(thisHost());
});

test("names the installation by a hash, not by its id", () => {
  const path = "/etc/machine-id";
  const id = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  const hashed = createHash("sha256").update(`trainlock:${id}`).digest("hex").slice(0, 32);
  expect(thisHost().machineId).toBe(id === "" || id === "uninitialized" ? null : hashed);
});

test("says the same on Bun as on Node", async () => {
  const ours = thisHost();
  const theirs = await thisHostOnBun(process.env);
  expect(theirs).toEqual({ ...ours, pid: theirs.pid, startTimeTicks: theirs.startTimeTicks });
  expect(theirs.startTimeTicks).toBeGreaterThanOrEqual(ours.startTimeTicks ?? 0);
});

test("takes the user's name from the system, not from the environment", async () => {
  expect((await thisHostOnBun({ ...process.env, USER: "somebody-else" })).user).toBe(thisHost().user);
  expect((await thisHostOnBun({ PATH: process.env.PATH })).user).toBe(thisHost().user);
});
