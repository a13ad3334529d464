import { expect } from "vitest";
import { makeExamine } from "../../src/evidence/examine.ts";
import { parseConfiguration } from "../../src/model/configuration.ts";
import { defaultLayout } from "../../src/site/layout.ts";
import type { LeaseClaims } from "../../src/stores/lease/lease-session.ts";
import { leaseStore } from "../../src/stores/lease/lease-store.ts";
import { clientOf } from "../etcd/client-for.ts";
import { sharedCluster } from "../etcd/cluster.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { etcdTest } from "./store.ts";

const cluster = sharedCluster();
const never = () => Promise.reject(new Error("not asked for"));

etcdTest(
  "whoever finds a lock free, and others quicker, again and again, goes on trying: that is no fault",
  async () => {
    const started = await cluster();
    const root = await temporaryRoot();
    let quicker = 20;
    // Each of the others has claimed and given back between a look and the claim after it.
    const claim = () => Promise.resolve(--quicker > 0 ? null : 7);
    const session: LeaseClaims = {
      claim,
      join: never,
      guard: () => {},
      noteTree: () => {},
      renew: never,
      remove: never,
      leave: never,
      catchUp: never,
    };
    const { address } = started;
    const site = { layout: defaultLayout(root), client: clientOf(started), address };
    const store = leaseStore({ ...site, session, examine: makeExamine(), onNote: () => {} });
    const acquired = await store.acquire(parseConfiguration({ strategy: "s", dataset: "d", model: "m" }), null);
    expect(acquired.kind === "held" && acquired.lock.generation).toBe(7);
  },
);
