import { createRequire } from "node:module";

/** The hash of a text in hex. Loaded here and not above: Bun needs 4 ms for node:crypto, and 0.1 ms for its own hasher. */
export function sha256Hex(text: string): string {
  const require = createRequire(import.meta.url);
  if (process.versions.bun === undefined) {
    const crypto: typeof import("node:crypto") = require("node:crypto");
    return crypto.createHash("sha256").update(text).digest("hex");
  }
  const bun: typeof import("bun") = require("bun");
  return new bun.CryptoHasher("sha256").update(text).digest("hex");
}
