import { type Step, stepOf } from "./progress.ts";

/** The folders that Hugging Face's Trainer makes for its checkpoints, by their step. */
export const checkpointFolder = /^checkpoint-(\d{1,12})$/;

/**
 * What Hugging Face's `trainer_state.json` says. It is written with sorted keys, two spaces deep: `global_step` stands in its
 * first bytes, and `max_steps` in its last, after a history that may be long.
 */
export function trainerStateStep(start: Uint8Array, end: Uint8Array): Step | null {
  const step = topNumber(start, "global_step") ?? topNumber(end, "global_step");
  if (step === null) return null;
  const of = topNumber(end, "max_steps") ?? topNumber(start, "max_steps");
  return { step, of: of === 0 ? null : of, unit: "iterations" };
}

function topNumber(bytes: Uint8Array, key: string): number | null {
  const [, digits] = new RegExp(`^ {2}"${key}": (\\d{1,15}),?$`, "m").exec(Buffer.from(bytes).toString("utf8")) ?? [];
  return stepOf(digits);
}
