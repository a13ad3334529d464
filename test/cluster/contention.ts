import type { Cluster } from "./cluster.ts";
export function contentionSuite(_: () => Cluster): void {}
