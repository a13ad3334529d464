import { checkConfiguration } from "../listing/check-configuration.ts";
import { clearLocks } from "../listing/clear-locks.ts";
import { listLocks } from "../listing/list-locks.ts";
import { lockJson } from "../listing/lock-json.ts";
import { preflightText } from "../listing/preflight-text.ts";
import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError, messageOf, type TrainlockError, UsageError } from "../model/errors.ts";
import { parseJson } from "../model/parse-json.ts";
import type { Layout } from "../site/layout.ts";
import { openLayout } from "../site/open-site.ts";
import { rootArguments } from "../site/root.ts";
import type { LineSocket } from "../system/processes/line-socket.ts";
import { acquireForPython } from "./acquire.ts";
import { type Answer, configurationIn, examineFor, refusal, writeLine } from "./answer.ts";
import { startPythonKeeper } from "./keep.ts";
import { type PythonRequest, parseRequest, protocolVersion, type RequestOf } from "./messages.ts";

/**
 * One dialogue with python/training_lock.py: a request, questions back where it asks for a lock, and one last line that carries
 * the caller's token. That line is the answer: where a program ignores SIGCHLD, its Python sees exit code 0 of any helper.
 */
export async function answerPython(socket: LineSocket, version: string): Promise<void> {
  const first = socket.receive();
  if (first === null)
    throw new UsageError("this command is for training_lock.py", { hint: "trainlock python prints it" });
  const request = parseRequest(first.line);
  const token = tokenIn(first.line);
  const tell = (answer: Answer) => writeLine({ ...answer, protocol: protocolVersion, version, token });
  try {
    if (request === null) throw foreignRequest(first.line);
    const answer = await answerTo(request, socket);
    if (answer === "handed over") startPythonKeeper();
    else tell(answer);
  } catch (error) {
    tell(refusal(error));
  }
}

function answerTo(request: PythonRequest, socket: LineSocket): Answer | Promise<Answer | "handed over"> {
  const layout = openLayout(
    { root: request.root ?? undefined, lockDir: request.lock_dir ?? undefined },
    process.env,
    rootArguments.python,
  );
  switch (request.do) {
    case "acquire":
      return acquireForPython(layout, configurationIn(layout, request.configuration), request, socket);
    case "paths":
      return pathsOf(layout, configurationIn(layout, request.configuration));
    case "check":
      return check(layout, configurationIn(layout, request.configuration));
    case "held":
      return heldInStore(layout, configurationIn(layout, request.configuration), request.claim);
    case "list":
      return list(layout, request);
    case "clear":
      return clear(layout, request);
  }
}

function pathsOf(layout: Layout, configuration: Configuration): Answer {
  return {
    say: "paths",
    name: layout.displayName(configuration),
    lock_file: layout.kernelLockPath(configuration),
    weights_dir: layout.weightsDir(configuration),
  };
}

async function check(layout: Layout, configuration: Configuration): Promise<Answer> {
  const { lockedBy } = await checkConfiguration(layout, configuration, examineFor(layout));
  const report = lockedBy && preflightText(configuration, lockedBy);
  return { say: "checked", locked_by: lockedBy && lockJson(lockedBy), report };
}

async function heldInStore(layout: Layout, configuration: Configuration, token: string): Promise<Answer> {
  if (layout.store === null) return { say: "not held", why: "the site names no store any more" };
  const { statusOfToken } = await import("../stores/lease/remote-store.ts");
  const { held, why } = await statusOfToken(layout, layout.store, configuration, token);
  return held === true ? { say: "held" } : { say: "not held", why };
}

async function list(layout: Layout, { kinds, verify }: RequestOf<"list">): Promise<Answer> {
  const unreadable: Record<string, string> = {};
  const links: string[] = [];
  const found = await listLocks({
    ...{ layout, kinds, verify, examine: examineFor(layout) },
    onUnreadable: (path, errno) => {
      unreadable[path] = errno;
    },
    onLink: (path) => links.push(path),
  });
  // A program that asks of hundreds of configurations starts nothing for each where their paths follow from names alone.
  const { site, root, lockDir } = layout;
  const usual = site.weights.length === 0 && site.dimensions.length === 0;
  const usualPaths = usual ? { root, lock_dir: lockDir } : null;
  return { say: "locks", locks: found.map(lockJson), unreadable, links, root, usual_paths: usualPaths };
}

async function clear(layout: Layout, request: RequestOf<"clear">): Promise<Answer> {
  const { kinds, force, dry_run: dryRun } = request;
  const result = await clearLocks({
    ...{ layout, configuration: null, kinds, dryRun, force, examine: examineFor(layout) },
    onUnreadable: () => undefined,
  });
  const failed = result.failed.map(({ lock, error }) => ({ path: lock.path, error: messageOf(error) }));
  return { say: "cleared", removed: result.removed.map(({ path }) => path), failed };
}

function foreignRequest(line: string): TrainlockError {
  const request = parseJson(line);
  const theirs = typeof request === "object" && request !== null && "protocol" in request ? request.protocol : null;
  if (typeof theirs !== "number" || theirs === protocolVersion)
    return new UsageError("training_lock.py asks for what this trainlock does not know", {
      code: "ERR_PROTOCOL",
      hint: "write it again: trainlock python > training_lock.py",
    });
  return new EnvironmentError(
    `training_lock.py speaks version ${theirs} of its dialogue, and this trainlock version ${protocolVersion}`,
    {
      code: "ERR_PROTOCOL",
      hint:
        theirs < protocolVersion
          ? "the file is older: write it again by `trainlock python > training_lock.py`"
          : "the executable is older: install the one that the file came from, or name it by TRAINLOCK_BIN",
    },
  );
}

function tokenIn(line: string): string | null {
  const request = parseJson(line);
  if (typeof request !== "object" || request === null || !("token" in request)) return null;
  return typeof request.token === "string" ? request.token : null;
}
