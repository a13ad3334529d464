import type { Cluster } from "./cluster.ts";
export function schedulersSuite(_: () => Cluster): void {}
