import { type HostName, sameHost } from "../../model/host-name.ts";
import type { SshSettings } from "../../site/site-config.ts";
import { runProgram } from "../../system/processes/run-program.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { type HostAnswer, parseHostAnswer } from "./host-answer.ts";
import { type HostWish, hostScript } from "./host-script.ts";

export type HostReply =
  | {
      readonly kind: "answer";
      readonly answer: HostAnswer;
      /** By our wall clock, milliseconds since the epoch. */
      readonly askedAt: number;
      /** From the question to the end of the answer, milliseconds. */
      readonly tookMs: number;
    }
  | { readonly kind: "silent"; readonly why: string };

export interface HostQuestion {
  readonly host: HostName;
  readonly wish: HostWish;
  readonly connectTimeoutMs: number;
  readonly ssh: SshSettings;
  readonly timeoutMs: number;
}

/** Asks a host by the user's own ssh; this one by a shell. Never rejects. */
export async function askHost(question: HostQuestion): Promise<HostReply> {
  const { host, wish, connectTimeoutMs, timeoutMs, ssh } = question;
  const here = sameHost(host, thisHost().hostname);
  const argv = here ? (["/bin/sh", "-s"] as const) : sshCommand(host, connectTimeoutMs, ssh);
  const askedAt = Date.now();
  const begun = performance.now();
  const answer = await runProgram({
    argv: [...argv],
    input: hostScript(wish),
    timeoutMs,
  });
  switch (answer.kind) {
    case "missing":
      return { kind: "silent", why: "cannot be asked: ssh is not installed" };
    case "late":
      return { kind: "silent", why: "did not answer in time" };
    case "too much":
      return { kind: "silent", why: "answered with too much to read" };
    case "ended": {
      const parsed = parseHostAnswer(answer.stdout, wish.locks);
      if (parsed !== null) return { kind: "answer", answer: parsed, askedAt, tookMs: performance.now() - begun };
      return { kind: "silent", why: sshFailure(answer.exitCode, answer.stderr) };
    }
  }
}

/** ssh_config(5). The user's configuration stays in force, but nothing may ask, forward, or stay behind as a master. */
export function sshCommand(
  host: HostName,
  connectTimeoutMs: number,
  ssh: SshSettings,
  remoteCommand = "sh -s",
): [string, ...string[]] {
  const options = {
    BatchMode: "yes",
    ConnectTimeout: String(Math.max(1, Math.ceil(connectTimeoutMs / 1000))),
    ConnectionAttempts: "1",
    ClearAllForwardings: "yes",
    ControlMaster: "no",
    PermitLocalCommand: "no",
    RemoteCommand: "none",
    RequestTTY: "no",
    LogLevel: "ERROR",
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const site = [
    ...(ssh.user === null ? [] : ["-o", `User=${ssh.user}`]),
    ...(ssh.port === null ? [] : ["-o", `Port=${ssh.port}`]),
    ...(ssh.jumpHost === null ? [] : ["-o", `ProxyJump=${ssh.jumpHost}`]),
  ];
  return ["ssh", "-T", "-a", "-x", ...flags, ...site, "--", host, remoteCommand];
}

const failures: readonly (readonly [RegExp, string])[] = [
  [/Host key verification failed|No .* host key is known/i, "cannot be asked: its ssh host key is unknown"],
  [/Permission denied|Too many authentication failures/i, "cannot be asked: ssh there wants a password or another key"],
  [/Could not resolve hostname|Name or service not known/i, "cannot be asked: its name is not known here"],
  [/timed out|timeout/i, "does not answer (timed out)"],
  [/No route to host|Network is unreachable/i, "is out of reach (no route)"],
  [/Connection refused/i, "refuses ssh"],
];

export function sshFailure(exitCode: number | null, stderr: string): string {
  const known = failures.find(([pattern]) => pattern.test(stderr));
  if (known !== undefined) return known[1];
  if (exitCode === 0) return "cannot be asked: it answers with something else (a forced command, or no shell)";
  const said = stderr.trim().split("\n").at(-1)?.slice(0, 160) ?? "";
  return `cannot be asked: ssh failed (exit ${exitCode ?? "by signal"})${said === "" ? "" : `: ${said}`}`;
}
