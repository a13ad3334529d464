import { createRequire } from "node:module";

/** The hash of a text in hex. Loaded here and not above: Bun needs 4 ms for node:crypto, and next to nothing for its own hasher. */
export function sha256Hex(text: string): string {
  if (process.versions.bun !== undefined) return new Bun.CryptoHasher("sha256").update(text).digest("hex");
  const crypto: typeof import("node:crypto") = createRequire(import.meta.url)("node:crypto");
  return crypto.createHash("sha256").update(text).digest("hex");
}
