// Stands between clients and members, and does to their connections what it is told.
//
//   relay.mjs ENDPOINT…
//
// Prints where it listens, `HOST:PORT …` in the order of the endpoints. On its input, one word a line: `pass`; `delay-MS`, there
// and back together; `hold` what is sent until it passes again; `swallow` it, and whatever those connections send later, as a
// firewall that has forgotten them; `deaf` to the answers alone, likewise; `reset` connections, those that are there and those
// that come. Ends with its input.
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

let mode = "pass";
const pairs = new Set();

const servers = process.argv.slice(2).map((endpoint) => {
  const [host, port] = endpoint.split(":");
  return createServer((client) => {
    if (mode === "reset") return client.resetAndDestroy();
    const pair = { client, member: connect(Number(port), host), swallows: false, deaf: false };
    pairs.add(pair);
    see(pair);
    pass(pair, client, pair.member, () => pair.swallows);
    pass(pair, pair.member, client, () => pair.swallows || pair.deaf);
  });
});

function pass(pair, from, to, isSwallowed) {
  from.on("data", (chunk) => isSwallowed() || later(() => to.writable && to.write(chunk)));
  from.on("error", () => {});
  from.on("close", () => {
    pairs.delete(pair);
    later(() => to.destroy());
  });
}

function later(act) {
  const ms = Number(/^delay-(\d+)/.exec(mode)?.[1] ?? 0) / 2;
  if (ms > 0) setTimeout(act, ms);
  else act();
}

function see(pair) {
  if (mode === "swallow") pair.swallows = true;
  if (mode === "deaf") pair.deaf = true;
  for (const socket of [pair.client, pair.member]) mode === "hold" ? socket.pause() : socket.resume();
  if (mode === "reset") for (const socket of [pair.client, pair.member]) socket.resetAndDestroy();
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    mode = line;
    for (const pair of [...pairs]) see(pair);
  })
  .on("close", () => process.exit(0));

await Promise.all(servers.map((server) => new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))));
console.log(servers.map((server) => `127.0.0.1:${server.address().port}`).join(" "));
