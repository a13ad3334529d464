import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import { type ClusterOptions, startCluster } from "../etcd/cluster.ts";
import { countingProxy, type Passed } from "../etcd/counting-proxy.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { etcdTest, storeSite } from "./store.ts";

const library = fileURLToPath(new URL("../../dist/lib/index.js", import.meta.url));

/** Does what it is told on its standard input, a deed a line, and says when it is done. */
const program = `
  import { createInterface } from "node:readline";
  import { TrainingLock } from ${JSON.stringify(library)};
  const named = (model) => new TrainingLock({ strategy: "baseline", dataset: "IDD-AW", model });
  const [lock, same, beside] = [named("a"), named("a"), named("b")];
  const deeds = {
    claim: () => lock.acquire(),
    "claim beside": () => beside.acquire(),
    "claim the same": () => same.acquire(),
    "wait for the same": () => same.acquire({ blocking: true, timeout: 60 }),
    release: () => lock.release(),
    "release beside": () => beside.release(),
    "release the same": () => same.release(),
  };
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const [number, deed] = line.split(": ");
    console.log(number + ": " + (await deeds[deed]()));
  });
`;

/**
 * Renewals go on all the time: a lease is prolonged, and a transaction that changes nothing proves the claims. The look before a
 * claim changes nothing, either, and asks for a revision that no key has.
 */
function isRenewal({ path, body }: Passed): boolean {
  if (path !== "/kv/txn") return path === "/lease/keepalive";
  return JSON.parse(body).success.length === 0 && !body.includes(String(Number.MAX_SAFE_INTEGER));
}

async function startProgram(options: ClusterOptions) {
  const cluster = await startCluster(options);
  const proxy = await countingProxy(cluster.endpoints[0] ?? "");
  const env = { ...cluster.env, TRAINLOCK_STORE: `etcd://${proxy.endpoint}`, TRAINLOCK_ROOT: await temporaryRoot() };
  const running = startProcess(process.execPath, ["--input-type=module", "-e", program], { env: environment(env) });
  const asked = () => proxy.passed.filter((request) => !isRenewal(request)).map(({ path }) => path);
  let number = 0;
  /** Resolves once it has that outcome. */
  const begin = (deed: string, outcome: string): Promise<void> => {
    proxy.passed.length = 0;
    number += 1;
    running.writeLine(`${number}: ${deed}`);
    return running.waitFor(`${number}: ${outcome}\n`);
  };
  return {
    begin,
    asked,
    /** What was asked of etcd for one deed. */
    requests: async (deed: string, outcome: string) => {
      await begin(deed, outcome);
      return asked();
    },
    /** Resolves after so many renewals. */
    renewed: async (times: number) => {
      const sofar = () => proxy.passed.filter(({ path }) => path === "/lease/keepalive").length;
      const before = sofar();
      await until("renewals", () => (sofar() - before >= times ? true : null), 20_000);
    },
    end: async () => {
      running.kill("SIGKILL");
      await running.finished;
    },
  };
}

etcdTest(
  "a claim takes three round trips, a release one; each further claim of the same process takes two",
  async () => {
    const { requests, end } = await startProgram({});
    expect(await requests("claim", "true")).toEqual(["/kv/txn", "/lease/grant", "/kv/txn"]);
    expect(await requests("claim beside", "true")).toEqual(["/kv/txn", "/kv/txn"]);
    expect(await requests("release beside", "undefined")).toEqual(["/kv/txn"]);
    expect(await requests("release", "undefined")).toEqual(["/lease/revoke"]);
    await end();
  },
);

etcdTest("with a user it is one more, once in a process; its keeper uses the same login", async () => {
  const { requests, end } = await startProgram({ auth: true });
  const login = "/auth/authenticate";
  expect(await requests("claim", "true")).toEqual([login, "/kv/txn", "/lease/grant", "/kv/txn"]);
  expect(await requests("release", "undefined")).toEqual(["/lease/revoke"]);
  expect(await requests("claim", "true")).toEqual(["/kv/txn", "/lease/grant", "/kv/txn"]);
  expect(await requests("release", "undefined")).toEqual(["/lease/revoke"]);
  await end();
});

etcdTest("a program that waits for a lock asks nothing while it waits, and has the lock when it is told", async () => {
  const { begin, asked, requests, renewed, end } = await startProgram({});
  await requests("claim", "true");
  const waited = begin("wait for the same", "true");
  await renewed(3);
  // Of a watch that is silent it is asked now and then whether its server is there.
  expect(asked().filter((path) => path !== "/maintenance/status")).toEqual(["/kv/txn", "/watch"]);
  await Promise.all([begin("release", "undefined"), waited]);
  expect(asked()).toEqual(expect.arrayContaining(["/lease/grant", "/kv/txn"]));
  await requests("release the same", "undefined");
  await end();
});

etcdTest("an endpoint that was silent at the look does not keep the claim waiting once more", async () => {
  const asked: string[] = [];
  const silent = createServer(({ url = "" }) => void asked.push(url));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    silent.close();
    silent.closeAllConnections();
  });
  const site = await storeSite();
  const endpoint = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const env = { TRAINLOCK_STORE: site.env.TRAINLOCK_STORE?.replace("//", `//${endpoint},`) ?? "" };
  expect(await trainlock(["run", ...site.args, "--", "true"], { env })).toMatchObject({ exitCode: 0 });
  expect(asked).toContain("/v3/kv/txn");
  expect(asked).not.toContain("/v3/lease/grant");
});
