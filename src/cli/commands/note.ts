import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { type Note, writerLifeMs } from "../../history/append-apart.ts";
import { appendLine, callsBeside } from "../../history/event-file.ts";
import { TrainlockError } from "../../model/errors.ts";
import { errnoOf } from "../../system/libc/errno.ts";
import { defineCommand } from "../command.ts";

/** The process that appends a line to a history on a file server, which may not answer. Exits with the number of the error. */
export const command = defineCommand({
  hidden: true,
  summary: "append a line to the history",
  examples: [],
  exitCodes: { 0: "appended" },
  async execute() {
    setTimeout(() => process.exit(constants.errno.ETIMEDOUT), writerLifeMs).unref();
    const { path, line, once }: Note = JSON.parse(readFileSync(0, "utf8"));
    try {
      const outcome = await appendLine(path, callsBeside, line, once, new AbortController().signal);
      return outcome === "done" ? 0 : constants.errno.ESTALE;
    } catch (error) {
      const code = error instanceof TrainlockError ? error.code : (errnoOf(error) ?? "EIO");
      return (constants.errno as Readonly<Record<string, number>>)[code] ?? constants.errno.EIO;
    }
  },
});
