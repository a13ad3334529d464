import { fileURLToPath } from "node:url";

/** The built library's keeper: tests run from sources, which no Node can be started from. */
export const keeperCommand: readonly [string, ...string[]] = [
  process.execPath,
  fileURLToPath(new URL("../../dist/lib/stores/lease/keeper-entry.js", import.meta.url)),
];
