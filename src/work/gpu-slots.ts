import { EnvironmentError, UsageError } from "../model/errors.ts";
import { runProgram } from "../system/processes/run-program.ts";

const askMs = 30_000;

/** For each slot its share of the GPUs, as CUDA_VISIBLE_DEVICES has them. Throws where there are fewer GPUs than slots. */
export async function splitGpus(slots: number, visible: string | undefined): Promise<string[]> {
  const gpus = visible === undefined ? await askDriver() : visible.split(",").map((gpu) => gpu.trim());
  const there = gpus.filter((gpu) => gpu !== "" && gpu !== "-1" && gpu !== "NoDevFiles");
  if (there.length < slots) {
    throw new UsageError(`--split-gpus: there are ${there.length} GPUs for ${slots} slots`, {
      hint: there.length === 0 ? "see CUDA_VISIBLE_DEVICES and nvidia-smi -L" : `give --jobs ${there.length}`,
    });
  }
  // The first slots get one more where they do not come out even.
  const [share, more] = [Math.floor(there.length / slots), there.length % slots];
  return Array.from({ length: slots }, (_, slot) => {
    const from = slot * share + Math.min(slot, more);
    return there.slice(from, from + share + (slot < more ? 1 : 0)).join(",");
  });
}

/** By their UUIDs: CUDA and the driver count in different orders unless CUDA_DEVICE_ORDER says otherwise. */
async function askDriver(): Promise<string[]> {
  const answer = await runProgram({ argv: ["nvidia-smi", "-L"], timeoutMs: askMs });
  if (answer.kind !== "ended" || answer.exitCode !== 0) {
    throw new EnvironmentError("--split-gpus: nvidia-smi -L does not list the GPUs", {
      code: "ERR_NO_GPUS",
      hint: "set CUDA_VISIBLE_DEVICES to those that the worker may use",
    });
  }
  return answer.stdout.split("\n").flatMap((line) => {
    const [, index, uuid] = /^GPU (\d+): .*?(?:\(UUID: (GPU-[0-9a-fA-F-]+)\))?\s*$/.exec(line) ?? [];
    return index === undefined ? [] : [uuid ?? index];
  });
}
