import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { clientOf, put } from "../etcd/client-for.ts";
import { sharedCluster } from "../etcd/cluster.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const threeWithUsers = sharedCluster({ members: 3, tls: true, auth: true });
const small = sharedCluster({ args: ["--quota-backend-bytes", String(4 * 2 ** 20)] });
const withTls = requiresPrograms("etcd", "etcdctl", "openssl");

interface Found {
  readonly check: string;
  readonly subject: string;
  readonly level: string;
  readonly found: string;
}

async function doctor(env: Readonly<Record<string, string>>, root?: string) {
  const args = ["doctor", "--root", root ?? (await temporaryRoot()), "--json"];
  const { stdout, exitCode } = await trainlock(args, { env, timeoutMs: 30_000 });
  const { findings }: { findings: Found[] } = JSON.parse(stdout);
  return { exitCode, findings, of: (check: string) => findings.filter((finding) => finding.check === check) };
}

withTls(
  "a healthy cluster with TLS and users: every member, its clock, a lease from its grant to its end",
  async () => {
    const { env, url, endpoints } = await threeWithUsers();
    const { of, exitCode } = await doctor({ ...env, TRAINLOCK_STORE: url });
    expect(of("etcd endpoint").map(({ subject, level }) => `${subject} ${level}`)).toEqual(
      endpoints.map((endpoint) => `${endpoint} ok`),
    );
    expect(of("etcd clock")).toHaveLength(3);
    for (const check of ["etcd clock", "etcd failover", "etcd alarms", "etcd lease"])
      expect(of(check)[0]).toMatchObject({ level: "ok" });
    expect(of("etcd latency")[0]?.found).toMatch(/ms a round trip/);
    expect(exitCode).toBe(0);
  },
);

withTls("a member that is down is found, and the others do", async () => {
  const cluster = await threeWithUsers();
  await cluster.kill(1);
  onTestFinished(() => cluster.restart(1));
  await cluster.healthy();
  const { of, exitCode } = await doctor({ ...cluster.env, TRAINLOCK_STORE: cluster.url });
  expect(of("etcd endpoint").map(({ level }) => level)).toEqual(["ok", "fault", "ok"]);
  expect(of("etcd failover")[0]).toMatchObject({ level: "warning", found: "2 of 3 endpoints answer" });
  expect(of("etcd lease")[0]).toMatchObject({ level: "ok" });
  expect(exitCode).toBe(1);
});

withTls("a wrong password, and a prefix that is not ours, are faults that say so", async () => {
  const { env, url } = await threeWithUsers();
  const wrong = await doctor({ ...env, TRAINLOCK_STORE: url, TRAINLOCK_STORE_PASSWORD: "a guess" });
  expect(wrong.exitCode).toBe(1);
  expect(JSON.stringify(wrong.findings)).toMatch(/authentication failed/);
  expect(JSON.stringify(wrong.findings)).not.toContain("a guess");
  const { of, exitCode } = await doctor({ ...env, TRAINLOCK_STORE: url.replace(/\/trainlock$/, "/others") });
  expect(of("etcd lease")[0]).toMatchObject({ level: "fault", found: expect.stringContaining("permission denied") });
  expect(exitCode).toBe(1);
});

requiresPrograms("etcd", "etcdctl")("a store that is full is named, and locks cannot be had there", async () => {
  const cluster = await small();
  const etcd = clientOf(cluster);
  const fill = async () => {
    for (let nth = 0; nth < 100; nth += 1) await put(etcd, `/fill/${nth}`, Buffer.alloc(500_000));
  };
  await expect(fill()).rejects.toMatchObject({ reason: "no space" });
  const root = await temporaryRoot();
  writeFileSync(join(root, "trainlock.yaml"), `store: ${cluster.url}\n`);
  const { of, exitCode } = await doctor({}, root);
  expect(of("etcd alarms")[0]).toMatchObject({ level: "fault", found: expect.stringContaining("NOSPACE") });
  expect(exitCode).toBe(1);
  const configuration = ["--strategy", "a", "--dataset", "b", "--model", "c"];
  const run = await trainlock(["run", "--root", root, ...configuration, "--", "true"]);
  expect(run).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/space/) });
});
