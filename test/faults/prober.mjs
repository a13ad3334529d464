// Asks a cluster again and again, each time over a new connection, for something that a majority has to answer.
//
//   prober.mjs ENDPOINT…
//
// Prints the moment of each good answer, nanoseconds of CLOCK_MONOTONIC. Ends with its input.
import { request } from "node:http";

const endpoints = process.argv.slice(2);
const everyMs = 100;
let turn = 0;

process.stdin.on("end", () => process.exit(0)).resume();
setInterval(() => {
  const [host, port] = endpoints[turn++ % endpoints.length].split(":");
  const headers = { "content-type": "application/json", "grpc-metadata-hasleader": "true" };
  const options = { host, port, path: "/v3/kv/range", method: "POST", headers, agent: false, timeout: 4000 };
  const asked = request(options, (answer) => {
    answer.resume().on("error", () => {});
    answer.on("end", () => answer.statusCode === 200 && console.log(String(process.hrtime.bigint())));
  });
  asked.on("timeout", () => asked.destroy()).on("error", () => {});
  asked.end('{"key":"YQ=="}');
}, everyMs);
