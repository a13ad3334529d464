import { connect, createServer } from "node:net";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, onTestFinished } from "vitest";
import type { RunningProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { type CallOptions, startTrainlock } from "../support/trainlock.ts";

let browser: Promise<Browser> | undefined;
// Where names lead is the browser's, so that another site can have the board's address, as in DNS rebinding.
const rules = "MAP evil.example 127.0.0.1";

afterAll(async () => (await browser)?.close());

export interface OpenPage extends Page {
  /** Errors of scripts, and what the page's policy refused. */
  readonly complaints: readonly string[];
}

/** A page of Debian's Chromium, in a context of its own. */
export async function openPage(options: BrowserContextOptions = {}): Promise<OpenPage> {
  browser ??= chromium.launch({
    executablePath: "/usr/bin/chromium",
    // As root it has no sandbox.
    args: ["--no-sandbox", `--host-resolver-rules=${rules}`],
  });
  const context = await (await browser).newContext({ viewport: { width: 1280, height: 900 }, ...options });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  return Object.assign(page, { complaints });
}

export interface Board {
  readonly process: RunningProcess;
  /** Where the page is. */
  readonly url: string;
  /** The socket, where it listens at one. */
  readonly socket: string | null;
}

/** A board at a port of its own. */
export async function boardAtPort(args: readonly string[], options: CallOptions = {}): Promise<Board> {
  const process = startTrainlock(["board", ...args, "--port"], { timeoutMs: 120_000, ...options });
  await process.waitFor("Ctrl-C");
  const [url = ""] = /http:\S+/.exec(process.stdout()) ?? [];
  return { process, url, socket: null };
}

/** A board at its socket, and a port of this host that leads there, as `ssh -L` makes one on a laptop. */
export async function boardAtSocket(args: readonly string[], env: Record<string, string> = {}): Promise<Board> {
  const folder = env.XDG_RUNTIME_DIR ?? (await temporaryRoot());
  const process = startTrainlock(["board", ...args], { timeoutMs: 120_000, env: { XDG_RUNTIME_DIR: folder, ...env } });
  await process.waitFor("Ctrl-C");
  const [, socket = ""] = /^Socket: (.*)$/m.exec(process.stdout()) ?? [];
  return { process, url: `http://localhost:${await forward(socket)}/`, socket };
}

export async function forward(socket: string): Promise<number> {
  const server = createServer((client) => {
    const inner = connect(socket);
    client.pipe(inner).pipe(client);
    for (const end of [client, inner]) end.on("error", () => client.destroy(inner.destroy() as unknown as undefined));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
  });
  return (server.address() as { port: number }).port;
}
