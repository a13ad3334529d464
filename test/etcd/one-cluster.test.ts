import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, onTestFinished } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { clientAt, put } from "./client-for.ts";
import { type Cluster, sharedCluster, startCluster } from "./cluster.ts";
import { freePorts } from "./free-ports.ts";

// Two clusters of one member each: the second is like a member that was set up anew, and has not joined.
const [ours, foreign] = [sharedCluster(), sharedCluster()];
const etcdTest = requiresPrograms("etcd", "etcdctl");
const endpointOf = ({ endpoints: [endpoint = ""] }: Cluster) => endpoint;

etcdTest("an endpoint of another cluster is never asked in the place of one of ours", async () => {
  const [member, stranger] = [await ours(), await foreign()];
  const etcd = clientAt([endpointOf(member), endpointOf(stranger)]);
  await put(etcd, "/held");
  member.pause(0);
  try {
    const failure = { reason: "another cluster", code: "ERR_ETCD_ANOTHER_CLUSTER", endpoint: endpointOf(stranger) };
    await expect(etcd.get("/held", { timeoutMs: 1000 })).rejects.toMatchObject({ ...failure, transient: true });
    await expect(etcd.revoke("7", { timeoutMs: 1000 })).rejects.toMatchObject(failure);
  } finally {
    member.resume(0);
  }
  expect((await etcd.get("/held")).entry).not.toBeNull();
  const [port] = await freePorts(1);
  const without = clientAt([`127.0.0.1:${port}`, endpointOf(stranger), endpointOf(member)]);
  await expect(without.get("/held")).rejects.toMatchObject({ reason: "another cluster" });
});

etcdTest("no run begins where an address names two clusters, in any order, and doctor says why", async () => {
  const of = configuration(await temporaryRoot());
  const both = [endpointOf(await ours()), endpointOf(await foreign())];
  for (const endpoints of [both, both.toReversed()]) {
    const env = { TRAINLOCK_STORE: `etcd://${endpoints.join(",")}/two` };
    const run = await trainlock(["run", ...of.args, "--no-also-marker", "--", "echo", "TRAINED"], { env });
    expect(run).toMatchObject({ exitCode: 3, stdout: "" });
    expect(run.stderr).toMatch(/it is of another cluster than 127\.0\.0\.1:\d+\n.*ClusterID/);
    const doctor = await trainlock(["doctor", "--root", of.root], { env });
    const [, stranger = ""] = endpoints;
    const faults = doctor.stdout.split("\n").filter((line) => /^FAULT +etcd endpoint /.test(line));
    expect(faults).toEqual([expect.stringContaining(`etcd at ${stranger}: it is of another cluster than `)]);
  }
  expect(await (await ours()).etcdctl("lease", "list")).toContain("found 0 leases");
});

etcdTest("a claim is kept where its member is away for a while and another cluster answers", async () => {
  const [member, stranger] = [await startCluster(), await foreign()];
  const of = configuration(await temporaryRoot());
  const address = (...endpoints: string[]) => ({ env: { TRAINLOCK_STORE: `etcd://${endpoints.join(",")}/kept` } });
  // As if the second had been one of ours when the claim was made: it is silent then, and has been set up anew since.
  stranger.pause(0);
  const holder = await holdWithRun(
    [...of.args, "--no-also-marker", "--ttl", "10s"],
    address(endpointOf(member), endpointOf(stranger)),
  );
  stranger.resume(0);
  member.pause(0);
  await new Promise((resolve) => setTimeout(resolve, 4000));
  member.resume(0);
  expect(await trainlock(["check", ...of.args], address(endpointOf(member)))).toMatchObject({ exitCode: 1 });
  holder.closeInput();
  expect(await holder.finished).toMatchObject({ exitCode: 0, stderr: expect.not.stringContaining("lost") });
});

etcdTest("a cluster that was replaced as a whole is believed from the second question on", async () => {
  const [first, second] = [await ours(), await foreign()];
  let behind = endpointOf(first);
  const sockets = new Set<Socket>();
  const relay = createServer((client) => {
    const [host = "", port] = behind.split(":");
    const server = connect(Number(port), host);
    for (const socket of [client, server]) sockets.add(socket.on("error", () => socket.destroy()));
    client.pipe(server).pipe(client);
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(() => {
    relay.close();
    cut();
  });
  const etcd = clientAt([`127.0.0.1:${(relay.address() as AddressInfo).port}`]);
  await put(etcd, "/replaced");
  behind = endpointOf(second);
  cut();
  await expect(etcd.get("/replaced")).rejects.toMatchObject({ reason: "another cluster" });
  expect((await etcd.get("/replaced")).entry).toBeNull();
});
