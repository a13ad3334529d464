import { spawn } from "node:child_process";
import { tellQuestion } from "../questions.ts";
import { environmentToAsk } from "./asking-environment.ts";
import { noteOwnChild } from "./own-children.ts";

/** How a program that was asked something answered. */
export type ProgramAnswer =
  | { readonly kind: "ended"; readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }
  | { readonly kind: "missing"; readonly why: string }
  | { readonly kind: "late" }
  | { readonly kind: "too much" };

export interface ProgramCall {
  readonly argv: readonly [string, ...string[]];
  readonly input?: string;
  /** Then it is killed. */
  readonly timeoutMs: number;
}

/** Far more than the jobs of the largest clusters take. */
const mostOutputBytes = 64 * 1024 * 1024;
/** How long pipes may stay open after the program has ended: a grandchild that went to the background keeps them. */
const pipePatienceMs = 200;

/** Runs a program to its end, never through a shell, and never longer than its time. Never rejects. */
export async function runProgram(call: ProgramCall): Promise<ProgramAnswer> {
  const since = performance.now();
  const answer = await run(call);
  const said = answer.kind === "ended" ? [answer.stdout, answer.stderr] : [];
  tellQuestion(since, { asked: call.argv, ended: endOf(answer), said });
  return answer;
}

/** What a program said first, fit for a message. */
export function firstLine(text: string): string {
  return text.trim().split("\n")[0]?.slice(0, 200) ?? "";
}

function endOf(answer: ProgramAnswer): string {
  switch (answer.kind) {
    case "missing":
      return `not started (${answer.why})`;
    case "late":
      return "no answer in time";
    case "too much":
      return "too much to read";
    case "ended":
      return answer.exitCode === null ? "killed by a signal" : `exit code ${answer.exitCode}`;
  }
}

function run({ argv, input = "", timeoutMs }: ProgramCall): Promise<ProgramAnswer> {
  return new Promise((resolve) => {
    const [file, ...args] = argv;
    if (timeoutMs <= 0) return resolve({ kind: "late" });
    const env = environmentToAsk();
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], ...(env && { env }) });
    noteOwnChild(child.pid);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let bytes = 0;
    let settled = false;
    const settle = (answer: ProgramAnswer) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      child.unref();
      resolve(answer);
    };
    const stop = (answer: ProgramAnswer) => {
      child.kill("SIGKILL");
      settle(answer);
    };
    const timer = setTimeout(() => stop({ kind: "late" }), timeoutMs);
    const keep = (list: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > mostOutputBytes) stop({ kind: "too much" });
      else list.push(chunk);
    };
    child.stdout.on("data", keep(out));
    child.stderr.on("data", keep(err));
    // A program that does not read its input closes the pipe: its answer counts all the same.
    child.stdin.on("error", () => undefined);
    child.on("error", (error) => settle({ kind: "missing", why: error.message }));
    const ended = (exitCode: number | null) =>
      settle({
        kind: "ended",
        exitCode,
        stdout: Buffer.concat(out).toString("utf8"),
        stderr: Buffer.concat(err).toString("utf8"),
      });
    child.on("close", ended);
    child.on("exit", (exitCode) => setTimeout(() => ended(exitCode), pipePatienceMs).unref());
    child.stdin.end(input);
  });
}
