/** As JSON carries bytes (proto3's JSON mapping). */
export function base64(value: string | Uint8Array): string {
  return Buffer.from(value as string).toString("base64");
}

/** The first key after all that begin with a prefix: what etcd calls `range_end`. */
export function endOfPrefix(prefix: Uint8Array): Buffer {
  const end = Buffer.from(prefix);
  for (let last = end.length - 1; last >= 0; last -= 1) {
    const byte = end[last] ?? 0xff;
    if (byte < 0xff) {
      end[last] = byte + 1;
      return end.subarray(0, last + 1);
    }
  }
  // All keys: a single zero byte means that.
  return Buffer.from([0]);
}

/** A lease's number of our own choice, so that a request for it can be repeated: 62 random bits, decimal, never 0. */
export function randomLeaseId(): string {
  const [bits = 0n] = crypto.getRandomValues(new BigUint64Array(1));
  return String((bits >> 2n) + 1n);
}
