import { copyFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { clientAt, clientOf, put } from "./client-for.ts";
import { type Cluster, sharedCluster } from "./cluster.ts";
import { watching } from "./watching.ts";

const cluster = sharedCluster({ tls: true });
const elsewhere = sharedCluster({ tls: { server: "elsewhere" } });
const serverOnly = sharedCluster({ tls: { server: "serverOnly" } });
const plain = sharedCluster();
const withUsers = sharedCluster({ tls: true, auth: true });
const expired = sharedCluster({ tls: { server: "expired" } });
const etcdTest = requiresPrograms("etcd", "etcdctl", "openssl");

function certificatesOf({ certificates }: Cluster) {
  if (certificates === null) throw new Error("a cluster without TLS");
  return certificates;
}

const refused = (hint: RegExp) => ({
  reason: "certificate",
  code: "ERR_ETCD_CERTIFICATE",
  exitCode: 3,
  hint: expect.stringMatching(hint),
  mayHaveHappened: false,
});

etcdTest("with a certificate that etcd's authority signed everything works, and is watched", async () => {
  const etcd = clientOf(await cluster());
  const { lease } = await etcd.grant(60);
  const first = await put(etcd, "/a");
  const watch = watching(etcd, "/a", first);
  await expect.poll(() => watch.seen).toEqual([{ kind: "put", key: "/a", revision: first }]);
  watch.abort();
  await watch.ended;
  expect(await etcd.revoke(lease)).toBe(true);
});

etcdTest(
  "with users and certificates both are needed, and a certificate that has a name is refused with the reason",
  async () => {
    const started = await withUsers();
    const etcd = clientOf(started);
    const first = await put(etcd, "/trainlock/a");
    expect((await etcd.get("/trainlock/a")).entry?.createRevision).toBe(first);
    const { cert: certFile, key: keyFile } = certificatesOf(started).client;
    await expect(clientOf(started, { certFile, keyFile }).get("/trainlock/a")).rejects.toMatchObject({
      reason: "certificate",
      code: "ERR_ETCD_COMMON_NAME",
      hint: expect.stringMatching(/without a common name/),
      mayHaveHappened: false,
    });
  },
);

etcdTest("a server of another authority is not trusted", async () => {
  const started = await cluster();
  const foreign = certificatesOf(started).foreign.cert;
  await expect(clientOf(started, { caFile: foreign }).get("/a")).rejects.toMatchObject(refused(/TRAINLOCK_STORE_CA/));
  await expect(clientOf(started, { caFile: null }).get("/a")).rejects.toMatchObject(refused(/TRAINLOCK_STORE_CA/));
});

etcdTest("a server with another host's certificate is not trusted", async () => {
  const started = await elsewhere();
  await expect(clientOf(started).get("/a")).rejects.toMatchObject(refused(/elsewhere\.example|name that/));
});

etcdTest("a server whose certificate has expired is not trusted", async () => {
  const started = await expired();
  await expect(clientOf(started).get("/a")).rejects.toMatchObject(refused(/renewed/));
  await expect(clientOf(started).get("/a")).rejects.toThrow(/expired/);
});

etcdTest(
  "without a certificate, or with one of another authority, etcd turns us down, and we say what to set",
  async () => {
    const started = await cluster();
    const { foreign, expired: old } = certificatesOf(started);
    for (const pair of [{ cert: null, key: null }, foreign, old]) {
      const etcd = clientOf(started, { certFile: pair.cert, keyFile: pair.key });
      await expect(etcd.get("/a")).rejects.toMatchObject(refused(/TRAINLOCK_STORE_CERT/));
    }
  },
);

etcdTest("files that hold no certificate, or another's key, are named as the cause", async () => {
  const started = await cluster();
  const { client, server } = certificatesOf(started);
  const junk = join(await temporaryRoot(), "junk.pem");
  await writeFile(junk, "no certificate");
  const variables = refused(/TRAINLOCK_STORE_CERT/);
  await expect(clientOf(started, { keyFile: server.key }).get("/a")).rejects.toMatchObject(variables);
  await expect(clientOf(started, { certFile: junk }).get("/a")).rejects.toMatchObject(variables);
  await expect(clientOf(started, { certFile: "/nowhere.pem" }).get("/a")).rejects.toThrow("/nowhere.pem: ENOENT");
  await expect(clientOf(started, { certFile: client.key }).get("/a")).rejects.toMatchObject(variables);
});

etcdTest("a certificate that is renewed in place is used from then on", async () => {
  const started = await cluster();
  const { client, foreign } = certificatesOf(started);
  const folder = await temporaryRoot();
  const pair = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
  const install = ({ cert, key }: typeof client) =>
    Promise.all([copyFile(cert, pair.certFile), copyFile(key, pair.keyFile)]);
  await install(foreign);
  const etcd = clientOf(started, pair);
  await expect(etcd.get("/a")).rejects.toMatchObject({ reason: "certificate" });
  await install(client);
  expect(await put(etcd, "/a")).toBeGreaterThan(0);
});

etcdTest("TLS where there is none, and none where there is, is told apart from a bad certificate", async () => {
  const { endpoints, access } = await cluster();
  const toTls = clientAt(endpoints).get("/a", { timeoutMs: 1000 });
  await expect(toTls).rejects.toMatchObject({
    hint: expect.stringContaining("etcds://"),
  });
  const without = await plain();
  await expect(clientAt(without.endpoints, true, access).get("/a")).rejects.toMatchObject({
    hint: expect.stringContaining("etcd://"),
  });
});

etcdTest("an etcd whose gateway its own certificate keeps out is told from one that is not there", async () => {
  // etcdctl finds it healthy: it does not go by the gateway.
  const call = clientOf(await serverOnly()).get("/a", { timeoutMs: 500 });
  await expect(call).rejects.toMatchObject({
    reason: "unreachable",
    hint: expect.stringMatching(/client authentication/),
  });
});

etcdTest("a run trusts the authorities that the runtime was told to trust, as check does", async () => {
  const { url, env, certificates } = await cluster();
  const of = configuration(await temporaryRoot());
  const folder = dirname(certificates?.ca ?? "");
  for (const variable of ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"]) {
    const trusting = {
      ...env,
      TRAINLOCK_STORE: url,
      TRAINLOCK_STORE_CA: "",
      [variable]: basename(certificates?.ca ?? ""),
    };
    const options = { cwd: folder, env: trusting };
    expect(await trainlock(["check", ...of.args], options)).toMatchObject({ exitCode: 0 });
    expect(await trainlock(["run", ...of.args, "--", "true"], options)).toMatchObject({ exitCode: 0 });
  }
});
