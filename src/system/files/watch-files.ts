import { type FSWatcher, watch } from "node:fs";

/**
 * Calls `tell` once when one of these files was written, removed or replaced on this host, by inotify(7). It does not notice
 * changes by other hosts. Watches as many files as the limit on watches allows, and none without inotify.
 */
export function watchFiles(paths: readonly string[], tell: () => void): { stop(): void } {
  const watchers: FSWatcher[] = [];
  const stop = () => {
    for (const watcher of watchers.splice(0)) watcher.close();
  };
  const once = () => {
    if (watchers.length === 0) return;
    stop();
    tell();
  };
  for (const path of paths) {
    try {
      const watcher = watch(path, { persistent: false }, once);
      watcher.on("error", () => watcher.close());
      watchers.push(watcher);
    } catch {
      // No watch is possible. Callers also look from time to time.
    }
  }
  return { stop };
}
