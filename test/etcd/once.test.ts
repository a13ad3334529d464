import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { clientAt } from "./client-for.ts";
import { noAccess } from "./cluster.ts";

/** A member that turns the first request of each kind down with these words, and is well from then on. */
async function memberThatFirstSays(words: string): Promise<{ readonly endpoint: string; asked(path: string): number }> {
  const asked = new Map<string, number>();
  const server = createServer((request, response) => {
    request.resume();
    const path = request.url?.replace("/v3", "") ?? "";
    asked.set(path, (asked.get(path) ?? 0) + 1);
    if (path === "/auth/authenticate") return response.end('{"token":"t"}');
    if (asked.get(path) === 1)
      return response.writeHead(503).end(JSON.stringify({ error: words, message: words, code: 14 }));
    return response.end('{"header":{"revision":"5"},"succeeded":true,"result":{"ID":"1","TTL":"9"}}');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: (path) => asked.get(path) ?? 0,
  };
}

const nothing = { if: [], then: [], elseGet: [] };
const refusals = {
  "no leader": ["etcdserver: no leader", "etcdserver: leader changed"],
  "too many requests": ["etcdserver: too many requests"],
  authentication: ["etcdserver: invalid auth token"],
} as const;

for (const [reason, texts] of Object.entries(refusals)) {
  for (const words of texts) {
    test(`"${words}" is the answer of a call that is made once, and tried again by any other`, async () => {
      const access = { ...noAccess, user: "alice", password: "x" };
      const first = await memberThatFirstSays(words);
      const asked = clientAt([first.endpoint], false, access).transact(nothing, { once: true });
      await expect(asked).rejects.toMatchObject({ reason });
      expect(first.asked("/kv/txn")).toBe(1);

      const second = await memberThatFirstSays(words);
      const etcd = clientAt([second.endpoint], false, access);
      expect(await etcd.transact(nothing)).toMatchObject({ done: true });
      await expect(etcd.keepAlive("1", { once: true })).rejects.toMatchObject({ reason });
      expect(await etcd.keepAlive("1", { once: true })).toBe(9);
    });
  }
}

/** A member that carries out the second request on each connection, and closes it without an answer. */
async function memberThatHangsUp(): Promise<{ readonly endpoint: string; carriedOut(): number }> {
  let carriedOut = 0;
  const onConnection = new WeakMap<object, number>();
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      carriedOut += 1;
      const nth = (onConnection.get(request.socket) ?? 0) + 1;
      onConnection.set(request.socket, nth);
      if (nth > 1) request.socket.destroy();
      else response.end('{"header":{"revision":"5"},"succeeded":true}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, carriedOut: () => carriedOut };
}

test("a call that is made once is not sent again when its idle connection was closed; any other is", async () => {
  const member = await memberThatHangsUp();
  const etcd = clientAt([member.endpoint]);
  await etcd.transact(nothing);
  const asked = etcd.transact(nothing, { once: true });
  await expect(asked).rejects.toMatchObject({ reason: "unreachable", mayHaveHappened: true });
  expect(member.carriedOut()).toBe(2);

  expect(await etcd.transact(nothing, { once: true })).toMatchObject({ done: true });
  expect(await etcd.transact(nothing)).toMatchObject({ done: true });
  expect(member.carriedOut()).toBe(5);
});
