import { onTestFinished } from "vitest";
import type { EtcdClient, WatchEvent } from "../../src/etcd/client.ts";

export interface Watching {
  readonly seen: readonly WatchEvent[];
  /** Settles as the iteration does. */
  readonly ended: Promise<void>;
  abort(): void;
}

/** A watch that is under way, and what it has seen; it ends with the test. */
export function watching(etcd: EtcdClient, key: string, fromRevision: number): Watching {
  const control = new AbortController();
  onTestFinished(() => control.abort());
  const seen: WatchEvent[] = [];
  const ended = (async () => {
    for await (const event of etcd.watch(key, fromRevision, control.signal)) seen.push(event);
  })();
  // A test that fails before it looks at the end has said enough.
  ended.catch(() => {});
  return { seen, ended, abort: () => control.abort() };
}
