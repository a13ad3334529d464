import { writeSync } from "node:fs";
import { makeExamine } from "../evidence/examine.ts";
import { remoteOptionsOf } from "../evidence/remote/options.ts";
import type { Configuration } from "../model/configuration.ts";
import { TrainlockError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import { requireName } from "../model/names.ts";
import type { Layout } from "../site/layout.ts";
import { configurationFor } from "../site/open-site.ts";
import type { RequestOf } from "./messages.ts";

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

export function configurationIn(layout: Layout, configuration: RequestOf<"paths">["configuration"]): Configuration {
  const { strategy, dataset, model, ratio, aux_loss: auxLoss, stage, dimensions } = configuration;
  const parsed = configurationFor(layout, { strategy, dataset, model, ratio, auxLoss, stage, dimensions });
  return typeof stage === "string" ? { ...parsed, stage: requireName("--stage", stage) } : parsed;
}

export function refusal(error: unknown): Answer {
  if (!(error instanceof TrainlockError)) {
    const message = `defect: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    return { say: "refused", message, hint: null, code: "ERR_DEFECT", exit_code: 3 };
  }
  const { message, hint = null, code, exitCode } = error;
  return { say: "refused", message, hint, code, exit_code: exitCode };
}
