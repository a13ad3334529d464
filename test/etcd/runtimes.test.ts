import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { type Cluster, sharedCluster } from "./cluster.ts";

const program = fileURLToPath(new URL("every-call.mjs", import.meta.url));
const bun = join(dirname(createRequire(import.meta.url).resolve("bun/package.json")), "bin", "bun.exe");

const plain = sharedCluster({ auth: true });
const secure = sharedCluster({ tls: true });
const etcdTest = requiresPrograms("etcd", "etcdctl", "openssl");

/** What starts the program, by runtime. */
const runtimes: Readonly<Record<string, (folder: string) => readonly string[]>> = {
  Bun: () => [bun, program],
  Node: (folder) => {
    const bundle = join(folder, "every-call.mjs");
    execFileSync(bun, ["build", "--target=node", "--outfile", bundle, program], { stdio: "ignore" });
    return [process.execPath, bundle];
  },
};

async function run(command: readonly string[], { url, env }: Cluster) {
  const [file = "", ...args] = command;
  // A proxy for the web is none for the store.
  const proxies = { HTTP_PROXY: "http://127.0.0.1:9", HTTPS_PROXY: "http://127.0.0.1:9", NO_PROXY: "" };
  const all = { PATH: process.env.PATH, ...env, ...proxies, TRAINLOCK_STORE: url, NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  return finish(file, args, { env: all, timeoutMs: 15_000 });
}

describe.each(Object.keys(runtimes))("%s", (runtime) => {
  for (const [how, cluster] of Object.entries({ "without TLS, as a user": plain, "with TLS": secure })) {
    etcdTest(`every call works ${how}, and nothing keeps the program alive`, async () => {
      const command = runtimes[runtime]?.(await temporaryRoot()) ?? [];
      const { stdout, stderr, exitCode } = await run(command, await cluster());
      expect({ stderr: stderr.replace(/.*NODE_TLS_REJECT_UNAUTHORIZED.*\n.*\n?/, ""), exitCode }).toEqual({
        stderr: "",
        exitCode: 0,
      });
      expect(JSON.parse(stdout)).toEqual({
        ttlSeconds: 60,
        done: true,
        seen: ["put", "delete"],
        withoutAuthority: cluster === secure ? "certificate" : "none",
        withoutTls: cluster === secure ? "unreachable" : "none",
        keys: [],
        renewed: 0,
        version: expect.stringMatching(/^3\./),
      });
    });
  }
});
