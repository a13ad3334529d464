import { randomHex } from "../../system/random.ts";
import type { Report, Request } from "./keeper-messages.ts";
import { type KeeperProcess, startKeeper } from "./start-keeper.ts";

type ReportOf<K extends Report["say"]> = Extract<Report, { readonly say: K }>;

export interface KeeperLink {
  /** Resolves once the keeper answers to what it was told last. Rejects when it does not come up. */
  readonly ready: Promise<void>;
  /** Resolves once it has ended. */
  readonly ended: Promise<void>;
  tell(request: Request): void;
  /** Null: the keeper ended, or took too long. */
  remove(id: string, last: boolean, patienceMs: number): Promise<ReportOf<"removed"> | null>;
  renew(patienceMs: number): Promise<ReportOf<"renewed"> | null>;
  close(): void;
  kill(): void;
}

const startPatienceMs = 15_000;

/** A keeper, and who waits for an answer of it. */
export function linkKeeper(
  command: readonly [string, ...string[]],
  onReport: (report: ReportOf<"alive"> | ReportOf<"reclaimed"> | ReportOf<"lost">) => void,
  onEnd: () => void,
): KeeperLink {
  const waiting = new Map<string, (report: Report | null) => void>();
  const settle = (key: string, report: Report | null) => {
    const resolve = waiting.get(key);
    waiting.delete(key);
    resolve?.(report);
  };
  const receive = (report: Report) => {
    if (report.say === "ready") settle("ready", report);
    else if (report.say === "removed") settle(`removed ${report.id}`, report);
    else if (report.say === "renewed") settle(`renewed ${report.number}`, report);
    else onReport(report);
  };
  let ending: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    ending = resolve;
  });
  const end = () => {
    ending();
    for (const key of [...waiting.keys()]) settle(key, null);
    onEnd();
  };
  const keeper: KeeperProcess = startKeeper(command, receive, end);
  const answer = (key: string, patienceMs: number): Promise<Report | null> =>
    new Promise((resolve) => {
      const timer = setTimeout(() => settle(key, null), patienceMs);
      waiting.set(key, (report) => {
        clearTimeout(timer);
        resolve(report);
      });
    });
  return {
    ready: answer("ready", startPatienceMs).then((report) => {
      if (report === null) throw new Error(`${command.join(" ")} did not come up`);
    }),
    ended,
    tell: (request) => keeper.tell(request),
    remove: async (id, last, patienceMs) => {
      const removed = answer(`removed ${id}`, patienceMs);
      keeper.tell({ do: "remove", id, last });
      const report = await removed;
      return report?.say === "removed" ? report : null;
    },
    renew: async (patienceMs) => {
      const number = Number.parseInt(randomHex(4), 16);
      const renewed = answer(`renewed ${number}`, patienceMs);
      keeper.tell({ do: "renew", number });
      const report = await renewed;
      return report?.say === "renewed" ? report : null;
    },
    close: () => keeper.close(),
    kill: () => keeper.kill(),
  };
}
