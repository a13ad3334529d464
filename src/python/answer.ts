import { writeSync } from "node:fs";
import { makeExamine } from "../evidence/examine.ts";
import { remoteOptionsOf } from "../evidence/remote/options.ts";
import type { Examine } from "../model/examine.ts";
import type { Layout } from "../site/layout.ts";

/** What a request comes to, without the caller's token. */
export type Answer = { readonly say: string } & Readonly<Record<string, unknown>>;

/** To standard output, which is the same socket that requests come from. */
export function writeLine(message: Readonly<Record<string, unknown>>): void {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let done = 0; done < bytes.length; ) done += writeSync(1, bytes, done);
}

export function examineFor(layout: Layout): Examine {
  return makeExamine(remoteOptionsOf(layout.site));
}
