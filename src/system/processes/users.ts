import { readProcText } from "./proc-files.ts";
import { runProgram } from "./run-program.ts";

/** Names as useradd(8) and directory services have them; nothing that could be an option. */
const userName = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?$/;
const timeoutMs = 2000;

export function isUserName(text: string): boolean {
  return userName.test(text);
}

export interface Users {
  nameOf(uid: number): string | null;
  uidOf(name: string): number | null;
}

/** Looks users up, by passwd(5) and then, all at once, by the system's name services (getent(1)). Never rejects. */
export async function lookUpUsers(uids: readonly number[], names: readonly string[]): Promise<Users> {
  const byUid = new Map<number, string>();
  const byName = new Map<string, number>();
  const learn = (text: string) => {
    for (const line of text.split("\n")) {
      const [name, , uid] = line.split(":");
      if (!name || uid === undefined || !/^\d+$/.test(uid)) continue;
      if (!byName.has(name)) byName.set(name, Number(uid));
      if (!byUid.has(Number(uid))) byUid.set(Number(uid), name);
    }
  };
  learn(readProcText("/etc/passwd") ?? "");
  const missing = [
    ...new Set([
      ...uids.filter((uid) => !byUid.has(uid)).map(String),
      ...names.filter((name) => userName.test(name) && !/^\d+$/.test(name) && !byName.has(name)),
    ]),
  ];
  if (missing.length > 0) {
    const answer = await runProgram({ argv: ["getent", "passwd", ...missing], timeoutMs });
    if (answer.kind === "ended") learn(answer.stdout);
  }
  return { nameOf: (uid) => byUid.get(uid) ?? null, uidOf: (name) => byName.get(name) ?? null };
}
