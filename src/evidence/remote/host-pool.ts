import { askHost, type HostQuestion, type HostReply } from "./ask-host.ts";

/** Connections at once: enough for a cluster in seconds, few enough for a login node and an ssh gateway. */
const mostAtOnce = 16;

/** What logging in and reading /proc may take once a connection stands. */
const talkMs = 1500;

/**
 * Asks hosts, so many at once. A host that hangs is given up after the connect timeout and `talkMs`. That time counts from
 * the beginning, so waiting in the queue does not add up. But each host gets its whole connect timeout.
 */
export function hostPool(ask: (question: HostQuestion) => Promise<HostReply> = askHost) {
  const begun = performance.now();
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (question: Omit<HostQuestion, "timeoutMs">, leftMs: () => number): Promise<HostReply> => {
    if (running >= mostAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
    running += 1;
    try {
      const { connectTimeoutMs } = question;
      const talkEndsIn = begun + connectTimeoutMs + talkMs - performance.now();
      const timeoutMs = Math.min(leftMs(), Math.max(connectTimeoutMs, talkEndsIn));
      if (timeoutMs <= 0) return { kind: "silent", why: "was not asked: the time for all was over" };
      return await ask({ ...question, timeoutMs });
    } finally {
      running -= 1;
      waiting.shift()?.();
    }
  };
}
