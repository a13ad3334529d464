import type { Report, Request } from "./keeper-messages.ts";
import { type KeeperProcess, startKeeper } from "./start-keeper.ts";

export type ReportOf<K extends Report["say"]> = Extract<Report, { readonly say: K }>;
/** What a keeper says of itself, and not as an answer. */
export type News = ReportOf<"ready" | "alive" | "reclaimed" | "lost">;

export interface KeeperLink {
  /** Whether it has come up. */
  isReady(): boolean;
  /** Resolves once it has ended. */
  readonly ended: Promise<void>;
  tell(request: Request): void;
  /** Tells, and resolves with the answer; null: the keeper ended, or took too long. */
  ask<K extends Report["say"]>(
    request: Request,
    answers: readonly K[],
    patienceMs: number,
  ): Promise<ReportOf<K> | null>;
  close(): void;
  kill(): void;
}

/** A keeper, and who waits for an answer of it. */
export function linkKeeper(
  command: readonly [string, ...string[]],
  onNews: (news: News, link: KeeperLink) => void,
  onEnd: () => void,
): KeeperLink {
  const waiting = new Set<(report: Report | null) => void>();
  let ready = false;
  let over = false;
  let ending: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    ending = resolve;
  });
  const receive = (report: Report) => {
    if (report.say === "ready") ready = true;
    if (isNews(report)) onNews(report, link);
    for (const hear of [...waiting]) hear(report);
  };
  const end = () => {
    over = true;
    for (const hear of [...waiting]) hear(null);
    ending();
    onEnd();
  };
  const keeper: KeeperProcess = startKeeper(command, receive, end);
  const link: KeeperLink = {
    isReady: () => ready,
    ended,
    tell: (request) => keeper.tell(request),
    ask: (request, answers, patienceMs) =>
      new Promise((resolve) => {
        if (over) return resolve(null);
        const finish = (report: ReportOf<(typeof answers)[number]> | null) => {
          clearTimeout(timer);
          waiting.delete(hear);
          resolve(report);
        };
        const hear = (report: Report | null) => {
          if (report === null) finish(null);
          else if (isAnswer(report, request, answers)) finish(report);
        };
        const timer = setTimeout(() => finish(null), patienceMs);
        waiting.add(hear);
        keeper.tell(request);
      }),
    close: () => keeper.close(),
    kill: () => keeper.kill(),
  };
  return link;
}

function isNews(report: Report): report is News {
  return report.say === "ready" || report.say === "alive" || report.say === "reclaimed" || report.say === "lost";
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
