import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A request as it went by, on its way to etcd. */
export interface Passed {
  /** Under `/v3`. */
  readonly path: string;
  readonly body: string;
}

export interface CountingProxy {
  /** `127.0.0.1:port` */
  readonly endpoint: string;
  /** All so far, in their order; may be emptied. */
  readonly passed: Passed[];
  /** Nothing is passed on any more, and connections are cut. */
  stop(): void;
}

/** Stands in front of an etcd endpoint without TLS, passes everything on, and remembers it. Gone with the test. */
export async function countingProxy(etcd: string): Promise<CountingProxy> {
  const passed: Passed[] = [];
  const agent = new Agent({ keepAlive: true });
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const { url: path = "", method, headers } = incoming;
    passed.push({ path: path.replace("/v3", ""), body: body.toString() });
    const onward = request(`http://${etcd}${path}`, { method, headers, agent }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    onward.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.close();
    server.closeAllConnections();
    agent.destroy();
  };
  onTestFinished(stop);
  return { endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, passed, stop };
}
