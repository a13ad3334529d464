import { askHost, type HostQuestion, type HostReply } from "./ask-host.ts";

/** Connections at once: enough for a cluster in seconds, few enough for a login node and an ssh gateway. */
const mostAtOnce = 16;

/** Asks hosts, so many at once. */
export function hostPool(ask: (question: HostQuestion) => Promise<HostReply> = askHost) {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (question: Omit<HostQuestion, "timeoutMs">, leftMs: () => number): Promise<HostReply> => {
    if (running >= mostAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
    running += 1;
    try {
      const timeoutMs = leftMs();
      if (timeoutMs <= 0) return { kind: "silent", why: "was not asked: the time for all was over" };
      return await ask({ ...question, timeoutMs });
    } finally {
      running -= 1;
      waiting.shift()?.();
    }
  };
}
