import { type ChildProcessByStdio, spawn } from "node:child_process";
import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { noteOwnChild } from "../../system/processes/own-children.ts";
import { startTimeTicksOf } from "../../system/processes/process-table.ts";
import { readLines } from "../../system/processes/read-lines.ts";
import { schedulerJob } from "../../system/processes/scheduler-job.ts";
import { isExecutable } from "../../system/processes/this-program.ts";
import { lineOf, type Report, type Request, type WrapperFacts } from "./keeper-messages.ts";

export type ReportOf<K extends Report["say"]> = Extract<Report, { readonly say: K }>;
const news = ["ready", "alive", "reclaimed", "lost", "asked"] as const;
/** Reports that are no answer to a request. */
export type News = ReportOf<(typeof news)[number]>;

/** The command by which this program starts a keeper. */
export function ownKeeperCommand(): readonly [string, ...string[]] {
  if (isExecutable) return [process.execPath, "__keeper"];
  return [process.execPath, fileURLToPath(new URL("./keeper-entry.js", import.meta.url))];
}

/**
 * A keeper as its wrapper sees it: a child process in a session of its own, so that what stops or ends our process group leaves
 * it alone. It does not keep this process alive, and when this process ends, its input ends.
 */
export class KeeperProcess {
  /** Resolves when the keeper has ended. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #onNews: (news: News, keeper: KeeperProcess) => void;
  readonly #waiting = new Set<(report: Report | null) => void>();
  #ready = false;
  #over = false;

  constructor(
    [program, ...args]: readonly [string, ...string[]],
    onNews: (news: News, keeper: KeeperProcess) => void,
    onEnd: (keeper: KeeperProcess) => void,
  ) {
    this.#onNews = onNews;
    this.#child = spawn(program, args, {
      detached: true,
      stdio: ["pipe", "pipe", "ignore"],
      env: keeperEnvironment(),
      cwd: "/",
    });
    noteOwnChild(this.#child.pid);
    this.ended = new Promise((resolve) => {
      const end = () => {
        this.#over = true;
        for (const answer of [...this.#waiting]) answer(null);
        resolve();
        onEnd(this);
      };
      // After the child is reaped: where nobody reaps orphans it would stay a zombie for ever.
      this.#child.on("exit", end);
      this.#child.on("error", end);
    });
    this.#child.stdin.on("error", () => undefined);
    readLines(this.#child.stdout, (line) => this.#receive(JSON.parse(line)));
    this.#child.unref();
    for (const pipe of [this.#child.stdin, this.#child.stdout]) {
      if ("unref" in pipe && typeof pipe.unref === "function") pipe.unref();
    }
  }

  /** Whether it has started up. */
  get isReady(): boolean {
    return this.#ready;
  }

  send(request: Request): void {
    this.#child.stdin.write(lineOf(request));
  }

  /** Sends a request and resolves with its answer; null: the keeper has ended, or has not answered within `timeoutMs`. */
  ask<K extends Report["say"]>(
    request: Request,
    answers: readonly K[],
    timeoutMs: number,
  ): Promise<ReportOf<K> | null> {
    return new Promise((resolve) => {
      if (this.#over) return resolve(null);
      const finish = (report: ReportOf<K> | null) => {
        clearTimeout(timer);
        this.#waiting.delete(read);
        resolve(report);
      };
      const read = (report: Report | null) => {
        if (report === null) finish(null);
        else if (isAnswer(report, request, answers)) finish(report);
      };
      const timer = setTimeout(() => finish(null), timeoutMs);
      this.#waiting.add(read);
      this.send(request);
    });
  }

  /** Tells the keeper to stop, by the end of its input. It releases the claims that it still keeps, and ends. */
  close(): void {
    this.#child.stdin.end();
  }

  /** SIGKILL, before another takes its place. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #receive(report: Report): void {
    if (report.say === "ready") this.#ready = true;
    if (isNews(report)) this.#onNews(report, this);
    for (const read of [...this.#waiting]) read(report);
  }
}

function isNews(report: Report): report is News {
  return news.some((say) => say === report.say);
}

function isAnswer<K extends Report["say"]>(
  report: Report,
  request: Request,
  answers: readonly K[],
): report is ReportOf<K> {
  if (!answers.some((say) => say === report.say)) return false;
  if ("id" in request) return "id" in report && report.id === request.id;
  return !("number" in request) || ("number" in report && report.number === request.number);
}

const filesOfRuntime = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"] as const;

/**
 * Nothing of ours but what the runtime needs to start, and the authorities that it trusts: else a keeper would refuse a server
 * with which its wrapper has just spoken.
 */
function keeperEnvironment(): NodeJS.ProcessEnv {
  const files = filesOfRuntime.flatMap((name) => (process.env[name] ? [[name, resolve(process.env[name])]] : []));
  const { LD_LIBRARY_PATH: libraries, NODE_USE_SYSTEM_CA: system } = process.env;
  return {
    ...Object.fromEntries(files),
    ...(libraries ? { LD_LIBRARY_PATH: libraries } : {}),
    ...(system ? { NODE_USE_SYSTEM_CA: system } : {}),
  };
}

/** What a keeper is told of this process. */
export function wrapperFacts(): WrapperFacts {
  const { pid } = process;
  return { pid, startTimeTicks: startTimeTicksOf(pid) ?? 0, job: schedulerJob(process.env) };
}
