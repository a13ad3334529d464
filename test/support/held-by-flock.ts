import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type RunningProcess, startProcess } from "./running-process.ts";
import { environment } from "./trainlock.ts";

/** A kernel lock that somebody holds, with any bytes as its record. Needs flock(1). */
export async function heldByFlock(path: string, record: string | Uint8Array): Promise<RunningProcess> {
  await mkdir(dirname(path), { recursive: true });
  const holder = startProcess("flock", ["-n", path, "sh", "-c", "echo HELD; exec cat"], { env: environment() });
  await holder.waitFor("HELD");
  await writeFile(path, record);
  return holder;
}
