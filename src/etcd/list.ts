import * as v from "valibot";
import { entryFrom, rangeAnswer } from "./answers.ts";
import { base64, endOfPrefix } from "./bytes.ts";
import type { CallLimits, Entry } from "./client.ts";
import type { Endpoints } from "./endpoints.ts";
import { codes, hasCode } from "./failures.ts";
import { type Gateway, largest } from "./gateway.ts";

const pageEntries = 1000;

/**
 * All keys that begin with a prefix, as of the revision of the first page. The limits hold for each page. Values so large that
 * a page of them would not fit make for smaller pages.
 */
export async function* listKeys(
  { call }: Gateway,
  endpoints: Endpoints,
  prefix: string,
  limits: CallLimits | undefined,
): AsyncGenerator<readonly Entry[]> {
  let from = Buffer.from(prefix);
  const end = endOfPrefix(from);
  let revision = 0;
  let limit = pageEntries;
  for (;;) {
    const range = { key: base64(from), range_end: base64(end), limit: String(limit), revision: String(revision) };
    let page: v.InferOutput<typeof rangeAnswer>;
    try {
      const answer = pageFrom(from);
      page = await call(endpoints, { path: "/kv/range", body: range, answer, largestBytes: largest.page, limits });
    } catch (error) {
      if (limit === 1 || !hasCode(error, codes.tooLarge)) throw error;
      limit = Math.max(1, Math.floor(limit / 8));
      continue;
    }
    if (revision === 0) revision = page.header.revision;
    if (page.kvs.length > 0) yield page.kvs.map(entryFrom);
    const last = page.kvs.at(-1)?.key;
    if (!page.more || last === undefined) return;
    from = Buffer.concat([last, Buffer.from([0])]);
  }
}

/** A page that leads on: a faulty server could keep us busy for ever. */
function pageFrom(from: Buffer) {
  return v.pipe(
    rangeAnswer,
    v.check(({ more, kvs }) => !more || from.compare(kvs.at(-1)?.key ?? Buffer.alloc(0)) <= 0),
  );
}
