import { spawn } from "node:child_process";
import { EnvironmentError } from "../model/errors.ts";
import type { LockPrimitive } from "../system/libc/flock.ts";
import { tellQuestion } from "../system/questions.ts";

export interface ChildHolder {
  /** Sends it a line, and waits for one that says THERE. False: it has ended by itself, and its lock proves nothing. */
  isThere(): Promise<boolean>;
  /** Ends the holder, and with it the lock. A second call does nothing. */
  release(): Promise<void>;
}

/** A process of ours that holds a lock on a file until it is told to end. Rejects with what kept it from doing so. */
export function holdInChild(primitive: LockPrimitive, path: string): Promise<ChildHolder> {
  return holdByProgram([process.execPath, "__probe", "hold", primitive, path]);
}

/** The same by any program that writes a line with HELD and goes on until its input ends. */
export function holdByProgram([file, ...args]: readonly [string, ...string[]]): Promise<ChildHolder> {
  const since = performance.now();
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const release = async () => {
    child.stdin.destroy();
    await ended;
  };
  return new Promise((resolve, reject) => {
    let [out, err] = ["", ""];
    let isHeld = false;
    const isThere = () => {
      const answered = new Promise<true>((answer) =>
        child.stdout.on("data", () => out.includes("THERE") && answer(true)),
      );
      child.stdin.write("\n");
      return Promise.race([answered, ended.then(() => false)]);
    };
    const answered = (ended: string) => tellQuestion(since, { asked: [file, ...args], ended, said: [out, err] });
    const refuse = (why: string) => {
      answered("ended without the lock");
      reject(
        new EnvironmentError(`a second process could not hold the lock: ${why}`, {
          code: "ERR_PROBE",
          hint: "see `trainlock doctor`",
        }),
      );
    };
    child.stdin.on("error", () => undefined);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if (out.includes("HELD") && !isHeld) {
        isHeld = true;
        answered("holds the lock");
        resolve({ release, isThere });
      }
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err += text;
    });
    child.on("error", (error) => refuse(error.message));
    child.on("close", () => isHeld || refuse(err.trim().split("\n")[0] ?? "it ended"));
  });
}
