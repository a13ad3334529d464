import { type FSWatcher, watch } from "node:fs";

/**
 * Has inotify(7) tell once that one of these files was written, removed or replaced on this host; what other hosts do to
 * them it does not tell. Watches as many as the limit on watches allows, and none where there is no inotify.
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
      // Nobody tells, then: whoever depends on it looks from time to time.
    }
  }
  return { stop };
}
