export interface NameWatch {
  /** Resolves once the name has come, gone or changed. Never when nothing happens. */
  readonly changed: Promise<"changed">;
  stop(): void;
}

/** Has inotify(7) tell of one name in a folder. Null where it cannot: the limit on watches is reached, no such folder. */
export async function watchName(folder: string, name: string): Promise<NameWatch | null> {
  const { watch } = await import("node:fs");
  try {
    let tell: (word: "changed") => void = () => undefined;
    const changed = new Promise<"changed">((resolve) => {
      tell = resolve;
    });
    const watcher = watch(folder, { persistent: false }, (_event, what) => {
      if (what === name) tell("changed");
    });
    watcher.on("error", () => watcher.close());
    return { changed, stop: () => watcher.close() };
  } catch {
    return null;
  }
}
