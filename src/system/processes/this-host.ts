import { readlinkSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { sha256Hex } from "../sha256.ts";
import { readProcText, readStatLine } from "./proc-files.ts";

/** Who we are, in the terms an owner record uses. Null: this system does not say. */
export interface ThisHost {
  readonly hostname: string;
  readonly user: string;
  readonly uid: number;
  readonly pid: number;
  /** Differs after each boot, random(4). */
  readonly bootId: string | null;
  /** Names the installation without giving its id away, as machine-id(5) asks. */
  readonly machineId: string | null;
  /** Inode of the PID namespace, namespaces(7). */
  readonly pidNamespace: number | null;
  readonly inInitialPidNamespace: boolean;
  /** Field 22 of proc_pid_stat(5). */
  readonly startTimeTicks: number | null;
}

/** PROC_PID_INIT_INO of linux/proc_ns.h: the kernel gives the initial namespace this inode always. */
export const initialPidNamespace = 4026531836;

let known: ThisHost | undefined;

/** Asked once a process, at the first call. */
export function thisHost(): ThisHost {
  known ??= askSystem();
  return known;
}

function askSystem(): ThisHost {
  const uid = process.getuid?.() ?? -1;
  const pidNamespace = readPidNamespace();
  return {
    hostname: hostname(),
    user: userName(uid),
    uid,
    pid: process.pid,
    bootId: readProcText("/proc/sys/kernel/random/boot_id")?.trim() || null,
    machineId: ownMachineId(),
    pidNamespace,
    inInitialPidNamespace: pidNamespace === initialPidNamespace,
    startTimeTicks: readStatLine("self")?.startTimeTicks ?? null,
  };
}

/**
 * From passwd(5), else from the system's name services; the number when nobody knows it. Bun's `userInfo` repeats the
 * variable USER, or says `unknown`, so it is asked second.
 */
function userName(uid: number): string {
  const listed = listedUserName(uid);
  if (listed !== null) return listed;
  try {
    const { username } = userInfo();
    return username === "" || username === "unknown" ? String(uid) : username;
  } catch {
    return String(uid);
  }
}

/** The name of a user by passwd(5); null for users that only a name service knows. */
export function listedUserName(uid: number): string | null {
  for (const line of readProcText("/etc/passwd")?.split("\n") ?? []) {
    const [name, , id] = line.split(":");
    if (name && id === String(uid)) return name;
  }
  return null;
}

function readPidNamespace(): number | null {
  try {
    const inode = /^pid:\[(\d+)\]$/.exec(readlinkSync("/proc/self/ns/pid"))?.[1];
    return inode === undefined ? null : Number(inode);
  } catch {
    return null;
  }
}

function ownMachineId(): string | null {
  const machineId = readProcText("/etc/machine-id")?.trim();
  return !machineId || machineId === "uninitialized" ? null : hashedMachineId(machineId);
}

/** A machine-id(5) as owner records have it. */
export function hashedMachineId(machineId: string): string {
  return sha256Hex(`trainlock:${machineId}`).slice(0, 32);
}
