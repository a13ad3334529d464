import type { Configuration } from "../model/configuration.ts";
import { printable } from "../model/printable.ts";
import { nobodyKnown } from "../stores/record-holder.ts";
import { holderText, livingText } from "./holder-text.ts";
import type { LockReport } from "./lock-report.ts";

function given(title: string, value: string | number | null): string[] {
  return value === null ? [] : [`  ${printable(title)}: ${printable(String(value))}`];
}

/** The block that users of the Python script know; an uncertain lock adds why it counts. */
export function preflightText(configuration: Configuration, lock: LockReport): string {
  const holder = lock.holder ?? { ...nobodyKnown, pid: lock.pid };
  const living = livingText(holder);
  const uncertain = lock.verdict.status === "unknown";
  const doubts = lock.evidence.map(({ detail }) => printable(detail)).join("; ");
  return [
    "[PRE-FLIGHT CHECK FAILED]",
    "Configuration is already being trained:",
    `  Strategy: ${printable(configuration.strategy)}`,
    `  Dataset: ${printable(configuration.dataset)}`,
    `  Model: ${printable(configuration.model)}`,
    ...given("Ratio", configuration.ratio),
    ...given("Aux Loss", configuration.auxLoss),
    ...given("Stage", configuration.stage),
    ...Object.entries(configuration.dimensions).flatMap(([name, value]) => given(name, value)),
    `  Held by: ${holderText(holder)}`,
    ...(living === null ? [] : [`  Living: ${living}`]),
    ...(lock.startedAt === null ? [] : [`  Since: ${printable(lock.startedAt)}`]),
    ...(uncertain ? [`  Status: ${lock.verdict.label} (${doubts})`] : []),
    "Skipping to avoid duplicate training.",
  ].join("\n");
}
