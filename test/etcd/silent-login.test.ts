import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { clientOf, put } from "./client-for.ts";
import { sharedCluster } from "./cluster.ts";

const cluster = sharedCluster({ members: 3, auth: true });
const etcdTest = requiresPrograms("etcd", "etcdctl");

etcdTest(
  "a member that is silent at login takes its share of a call's time, and keeps no other call waiting",
  async () => {
    const { endpoints, pause, resume, leader, ...started } = await cluster();
    const silent = ((await leader()) + 1) % 3;
    const order = [...endpoints.slice(silent), ...endpoints.slice(0, silent)];
    const etcd = clientOf({ ...started, endpoints: order, pause, resume, leader });
    pause(silent);
    try {
      const patient = etcd.at(order[0] ?? "").get("/trainlock/a", { timeoutMs: 20_000 });
      const outcome = patient.then(
        () => "answered",
        (error: unknown) => error,
      );
      await sleep(100);
      const askedAt = performance.now();
      const short = etcd.at(order[0] ?? "").get("/trainlock/a", { timeoutMs: 300 });
      await expect(short).rejects.toMatchObject({ reason: "timeout", endpoint: order[0] });
      await expect(
        etcd.at(order[0] ?? "").get("/trainlock/a", { signal: AbortSignal.abort(new Error("enough")) }),
      ).rejects.toThrow("enough");
      await etcd.at(order[1] ?? "").get("/trainlock/a", { timeoutMs: 2000 });
      await put(etcd, "/trainlock/a");
      expect(performance.now() - askedAt).toBeLessThan(4000);
      resume(silent);
      // Whose time is not over has what it waited for.
      expect(await outcome).toBe("answered");
    } finally {
      resume(silent);
    }
  },
);
