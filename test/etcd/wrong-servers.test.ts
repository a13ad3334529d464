import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import type { EtcdClient } from "../../src/etcd/client.ts";
import { EtcdError } from "../../src/etcd/errors.ts";
import { clientAt, listed } from "./client-for.ts";
import { watching } from "./watching.ts";

/** Listens until the test is over; the endpoint. */
async function listening(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as { readonly port: number }).port}`;
}

const speaking = (talk: (socket: Socket) => void) =>
  listening(createServer((socket) => talk(socket.on("error", () => {}))));
const serving = (listener: RequestListener) => listening(createHttpServer(listener));
const answering = (text: string, status = 200) =>
  serving((request, response) => {
    request.resume();
    response.writeHead(status, { "content-type": "application/json" }).end(text);
  });

const calls: Readonly<Record<string, (etcd: EtcdClient) => Promise<unknown>>> = {
  grant: (etcd) => etcd.grant(10, { timeoutMs: 400 }),
  revoke: (etcd) => etcd.revoke("1", { timeoutMs: 400 }),
  keepAlive: (etcd) => etcd.keepAlive("1", { timeoutMs: 400 }),
  transact: (etcd) => etcd.transact({ if: [], then: [], elseGet: ["/a"] }, { timeoutMs: 400 }),
  get: (etcd) => etcd.get("/a", { timeoutMs: 400 }),
  list: (etcd) => listed(etcd, "/a", { timeoutMs: 400 }),
  status: (etcd) => etcd.status(etcd.endpoints[0] ?? "", { timeoutMs: 400 }),
  alarms: (etcd) => etcd.alarms({ timeoutMs: 400 }),
};

async function failureOf(call: Promise<unknown>): Promise<EtcdError> {
  const outcome = await call.then(
    (value) => new Error(`an answer was taken: ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (!(outcome instanceof EtcdError)) throw outcome;
  return outcome;
}

const junk = "\u001b[31m\u0000\ufffd{]\r\n\r\n".repeat(100);
const servers: Readonly<Record<string, () => Promise<string>>> = {
  "bytes that are no HTTP": () => speaking((socket) => socket.end(junk)),
  "the greeting of another protocol": () => speaking((socket) => socket.write("SSH-2.0-OpenSSH_9.2\r\n")),
  "a page": () => answering("<html>It works!</html>"),
  "a page that is not there": () => answering("404 page not found", 404),
  "an error of its own": () => answering("<html>oops</html>", 500),
  "a redirect": () => serving((_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end()),
  "no text": () => answering(""),
  null: () => answering("null"),
  "a list": () => answering("[]"),
  "a text": () => answering('"header"'),
  "brackets without end": () => answering("[".repeat(500_000)),
  "a revision that no number holds": () =>
    answering('{"header":{"revision":"9223372036854775807"},"ID":"x","alarms":7}'),
  "fields of the wrong kind": () =>
    answering(
      `{"header":{"revision":[]},"kvs":{},"responses":7,"alarms":"x","ID":[],"TTL":{},"version":"\\u001b","result":[]}`,
    ),
  "half an answer": () =>
    serving(
      (_, response) => response.writeHead(200, { "content-length": "1000" }).write('{"header":') && response.destroy(),
    ),
  "headers without end": () =>
    speaking((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = setInterval(() => socket.write(`x: ${"y".repeat(60_000)}\r\n`), 1);
      socket.on("close", () => clearInterval(more));
    }),
  silence: () => speaking(() => {}),
  "an answer drop by drop": () =>
    serving((_, response) => {
      response.writeHead(200);
      const more = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(more));
    }),
};

describe("whatever a server says instead of etcd, each call fails with its name", () => {
  for (const [what, start] of Object.entries(servers)) {
    test(what, async () => {
      const endpoint = await start();
      const etcd = clientAt([endpoint]);
      for (const error of await Promise.all(Object.values(calls).map((call) => failureOf(call(etcd))))) {
        expect(error).toMatchObject({ endpoint, exitCode: 3, mayHaveHappened: true, hint: expect.stringMatching(/./) });
        expect(error.message).toContain(endpoint);
        expect(error.message).toMatch(/^[\x20-\x7e]{1,400}$/);
        expect(["not etcd", "unreachable", "timeout"]).toContain(error.reason);
      }
    });
  }
});

test("an answer that says nothing does not say that nothing is there", async () => {
  const etcd = clientAt([await answering('{"header":{}}')]);
  const { alarms: _, ...others } = calls;
  for (const call of Object.values(others)) expect(await failureOf(call(etcd))).toMatchObject({ reason: "not etcd" });
});

test("whatever a server says instead of etcd, a watch ends with an error and without an event", async () => {
  const watches = Object.values(servers).map(async (start) => {
    const watch = watching(clientAt([await start()]), "/a", 1);
    await expect(watch.ended).rejects.toBeInstanceOf(EtcdError);
    expect(watch.seen).toEqual([]);
  });
  await Promise.all(watches);
});

test("an answer without end is not kept in memory", async () => {
  let sent = 0;
  const endpoint = await serving((_, response) => {
    const more = () => {
      while (!response.destroyed && response.write("x".repeat(100_000))) sent += 100_000;
    };
    response.on("drain", more);
    more();
  });
  const etcd = clientAt([endpoint]);
  for (const call of Object.values(calls)) {
    expect(await failureOf(call(etcd))).toMatchObject({ endpoint, code: "ERR_ETCD_ANSWER_TOO_LARGE" });
  }
  await expect(watching(etcd, "/a", 1).ended).rejects.toMatchObject({ code: "ERR_ETCD_ANSWER_TOO_LARGE" });
  expect(sent).toBeLessThan(200 * 2 ** 20);
});

test("a connection that the server closes while it is idle is no failure", async () => {
  const server = createHttpServer((_, response) => response.end('{"header":{"revision":"5"}}'));
  server.keepAliveTimeout = 0;
  const sockets: Socket[] = [];
  server.on("connection", (socket) => sockets.push(socket));
  const etcd = clientAt([await listening(server)]);
  for (let nth = 0; nth < 5; nth += 1) {
    await etcd.get("/a");
    // Without waiting for it to be noticed.
    sockets.at(-1)?.resetAndDestroy();
    await etcd.get("/a");
  }
});

test("what a server says went wrong comes on one line, without control characters, and not at any length", async () => {
  const message = `etcdserver: \u001b[2J\n\u202e${"long ".repeat(1000)}`;
  const endpoint = await answering(JSON.stringify({ error: message, message, code: 13 }), 500);
  const { message: said } = await failureOf(clientAt([endpoint]).get("/a"));
  expect(said).toMatch(/^[\x20-\x7e]{1,300}$/);
});

test("pages that lead nowhere come to an end", async () => {
  const key = Buffer.from("/a").toString("base64");
  const endpoint = await answering(`{"header":{"revision":"5"},"kvs":[{"key":"${key}"}],"more":true}`);
  expect(await failureOf(listed(clientAt([endpoint]), "/a"))).toMatchObject({ reason: "not etcd" });
});

test("the answer to another transaction is not taken for this one's", async () => {
  const other = Buffer.from("/b").toString("base64");
  const responses = `[{"response_range":{"kvs":[{"key":"${other}","mod_revision":"1"}]}}]`;
  const endpoint = await answering(`{"header":{"revision":"5"},"responses":${responses}}`);
  const call = clientAt([endpoint]).transact({ if: [], then: [], elseGet: ["/a"] });
  expect(await failureOf(call)).toMatchObject({ reason: "not etcd", mayHaveHappened: true });
});

test("a proxy without a member behind it is a matter of reaching it", async () => {
  const endpoint = await answering("<html>Bad Gateway</html>", 502);
  const call = clientAt([endpoint]).get("/a", { timeoutMs: 500 });
  expect(await failureOf(call)).toMatchObject({ reason: "unreachable", hint: expect.stringContaining("proxy") });
});

test("a host whose name nobody knows is named as that", async () => {
  const error = await failureOf(clientAt(["name.invalid:2379"]).get("/a"));
  expect(error).toMatchObject({ reason: "unreachable", hint: expect.stringContaining("getent") });
  expect(error.message).toMatch(/\((ENOTFOUND|EAI_AGAIN)\)$/);
});
