import { rmSync } from "node:fs";
import { localDateTime } from "../system/clock/local-time.ts";
import { sha256Hex } from "../system/sha256.ts";
import { type Admission, admit } from "./admit.ts";
import script from "./browser/board.browser.js" with { type: "text" };
import style from "./browser/board.css" with { type: "text" };
import { type PageSettings, pageHtml } from "./page.ts";
import { listenPrivately } from "./private-socket.ts";
import type { Scanner } from "./scanner.ts";
import type { Snapshot } from "./snapshot.ts";
import { readView, type View } from "./view.ts";

/** Where a board is found: a socket that its mode protects, or a port of this host with a token in every address. */
export type BoardPlace =
  | { readonly kind: "socket"; readonly path: string }
  | { readonly kind: "port"; readonly port: number; readonly token: string };

export interface BoardRequest {
  readonly place: BoardPlace;
  readonly scanner: Scanner<Snapshot>;
  readonly title: string;
  readonly root: string;
  readonly standard: View;
  /** The snapshot as `plan --json` prints it. */
  readonly json: (snapshot: Snapshot) => unknown;
  /** The board ends by itself when nobody has looked for so long, milliseconds. */
  readonly idleMs: number;
}

export interface BoardServer {
  readonly port: number | null;
  /** Settles when the board has ended: by `stop`, or because nobody looked. */
  readonly ended: Promise<void>;
  stop(): void;
}

const heartbeatMs = 15_000;
const versionOf = (text: string) => sha256Hex(text).slice(0, 8);
const files = { style: versionOf(style), script: versionOf(script) };

const guards = {
  "content-security-policy":
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; " +
    "base-uri 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

/** Answers whoever may ask. Everything is read-only; nothing is scanned while nobody looks. */
export function serveBoard(request: BoardRequest): BoardServer {
  return new Board(request);
}

type Fetch = (asked: Request, server: Bun.Server<undefined>) => Promise<Response>;

class Board implements BoardServer {
  readonly port: number | null;
  readonly ended: Promise<void>;
  readonly #request: BoardRequest;
  readonly #server: Bun.Server<undefined>;
  readonly #end: () => void;
  #viewers = 0;
  #idle: NodeJS.Timeout | undefined;
  /** The pages of the last scan: however many look, each view is written and packed once. */
  #pages: { snapshot: Snapshot | null; readonly byView: Map<string, Uint8Array<ArrayBuffer>> } = {
    snapshot: null,
    byView: new Map(),
  };

  constructor(request: BoardRequest) {
    this.#request = request;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
    const { place } = request;
    const fetch: Fetch = (asked, server) => this.#answer(asked, server);
    this.#server =
      place.kind === "socket"
        ? listenPrivately(place.path, () => Bun.serve(atSocket(fetch, place.path)))
        : Bun.serve({ fetch, hostname: "127.0.0.1", port: place.port, idleTimeout: 30 });
    this.port = this.#server.port ?? null;
    this.#seen();
  }

  stop(): void {
    clearTimeout(this.#idle);
    void this.#server.stop(true);
    const { place } = this.#request;
    if (place.kind === "socket") rmSync(place.path, { force: true });
    this.#end();
  }

  #seen(): void {
    clearTimeout(this.#idle);
    if (this.#viewers > 0) return;
    this.#idle = setTimeout(() => this.stop(), this.#request.idleMs);
  }

  async #answer(asked: Request, server: Bun.Server<undefined>): Promise<Response> {
    const { headers, method } = asked;
    const address = addressOf(asked.url);
    const caller = {
      method,
      path: address.pathname,
      host: headers.get("host"),
      origin: headers.get("origin"),
      site: headers.get("sec-fetch-site"),
    };
    const { place } = this.#request;
    const admission: Admission = admit(caller, place.kind === "port" ? place.token : null);
    if (!("path" in admission)) return textAnswer(admission.status, admission.why);
    this.#seen();
    switch (admission.path) {
      case "/":
        // A scan of a large site may take longer than a quiet connection is kept.
        server.timeout(asked, 0);
        return this.#page(address.searchParams, headers.get("accept-encoding") ?? "");
      case "/events":
        server.timeout(asked, 0);
        return this.#events(asked.signal);
      case "/plan.json": {
        server.timeout(asked, 0);
        const snapshot = await this.#request.scanner.current();
        return new Response(`${JSON.stringify(this.#request.json(snapshot))}\n`, {
          headers: headersFor("application/json"),
        });
      }
      case "/board.css":
        return fileAnswer(style, "text/css");
      case "/board.js":
        return fileAnswer(script, "text/javascript");
      default:
        return textAnswer(404, "there is nothing here");
    }
  }

  async #page(query: URLSearchParams, accepted: string): Promise<Response> {
    const { scanner, title, root, standard } = this.#request;
    const snapshot = await scanner.current();
    if (this.#pages.snapshot !== snapshot || this.#pages.byView.size > 20)
      this.#pages = { snapshot, byView: new Map() };
    const view = readView(query, snapshot.names, standard);
    const key = JSON.stringify(view);
    let packed = this.#pages.byView.get(key);
    if (packed === undefined) {
      const settings: PageSettings = {
        title,
        place: root,
        standard,
        head: `<link rel=stylesheet href="board.css?${files.style}">`,
        foot: `<script type=module src="board.js?${files.script}"></script>`,
        data: { mode: "live" },
        validity: "live",
        canChoose: true,
      };
      packed = Bun.gzipSync(pageHtml(snapshot, view, settings));
      this.#pages.byView.set(key, packed);
      // What was needed for that is large and over; the collector would wait until there is more of it.
      Bun.gc(true);
    }
    const headers = { ...headersFor("text/html; charset=utf-8"), vary: "accept-encoding" };
    if (!/\bgzip\b/.test(accepted)) return new Response(Bun.gunzipSync(packed), { headers });
    return new Response(packed, { headers: { ...headers, "content-encoding": "gzip" } });
  }

  /** Tells a viewer of each scan, for as long as it listens. */
  #events(signal: AbortSignal): Response {
    const { scanner } = this.#request;
    let leave: () => void = () => undefined;
    const stream = new ReadableStream<string>({
      start: (controller) => {
        const send = (text: string) => {
          try {
            controller.enqueue(text);
          } catch {
            leave();
          }
        };
        const unwatch = scanner.watch(({ version, atMs }) => {
          const news = { version, at: Math.round(atMs / 1000), time: localDateTime(atMs) };
          send(`event: scan\ndata: ${JSON.stringify(news)}\n\n`);
        });
        const heartbeat = setInterval(() => send(": \n\n"), heartbeatMs);
        this.#viewers += 1;
        this.#seen();
        leave = () => {
          leave = () => undefined;
          unwatch();
          clearInterval(heartbeat);
          this.#viewers -= 1;
          this.#seen();
        };
        signal.addEventListener("abort", () => leave());
        send("retry: 3000\n\n");
      },
      cancel: () => leave(),
    });
    return new Response(stream as unknown as ReadableStream<Uint8Array>, { headers: headersFor("text/event-stream") });
  }
}

/**
 * Serves at a socket with the longest time limit that there is. The default ends a quiet stream or a slow scan after 10 s,
 * and at a socket a limit for one request has no effect. The runtime accepts the option, but its types do not have it.
 */
function atSocket(fetch: Fetch, unix: string) {
  return { fetch, unix, idleTimeout: 255 } as unknown as { fetch: typeof fetch; unix: string };
}

/** The address without its host, which the client chooses as it likes. */
function addressOf(url: string): URL {
  const [, path = "/"] = /^[a-z]+:\/\/[^/]*(\/.*)$/is.exec(url) ?? [];
  return new URL(path.replace(/^\/+/, "/"), "http://localhost");
}

function headersFor(type: string): Record<string, string> {
  return { ...guards, "content-type": type, "cache-control": "no-store" };
}

function textAnswer(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: headersFor("text/plain; charset=utf-8") });
}

/** Their addresses change with their content. */
function fileAnswer(text: string, type: string): Response {
  return new Response(text, { headers: { ...headersFor(`${type}; charset=utf-8`), "cache-control": "max-age=86400" } });
}
