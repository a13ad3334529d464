import type { ListRequest } from "../listing/list-locks.ts";
import { UsageError } from "../model/errors.ts";
import { flag, type ValuesOf } from "./command.ts";

export const kindOptions = {
  fileOnly: flag("only markers (.training_lock)"),
  fcntlOnly: flag("only kernel locks (training_locks/*.lock)"),
};

export function kindsFrom({ fileOnly, fcntlOnly }: ValuesOf<typeof kindOptions>): ListRequest["kinds"] {
  if (fileOnly && fcntlOnly)
    throw new UsageError("--file-only and --fcntl-only exclude each other", { hint: "leave both out for all locks" });
  return fileOnly ? ["file"] : fcntlOnly ? ["fcntl"] : ["file", "fcntl", "etcd"];
}
