import { join } from "node:path";
import { submitFolder } from "../grid/submissions.ts";
import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import type { Layout } from "../site/layout.ts";
import { openStore } from "../stores/open-store.ts";
import type { Busy } from "../stores/store.ts";
import { acquireOrWait } from "../stores/wait-for-lock.ts";
import { makeHeldFolder } from "../system/files/open-beneath.ts";

/** Nobody trains it: it stands for the right to count and to submit. */
const counting: Configuration = {
  strategy: "trainlock",
  dataset: "submit",
  model: "submit",
  ratio: null,
  auxLoss: null,
  stage: null,
  dimensions: {},
};

/** A scheduler takes seconds for one array, and a large grid is several. */
const patienceMs = 15 * 60_000;

/**
 * Counts and submits while nobody else of the site does. It holds a claim like that of a training. So the claim reaches as
 * far, and a dead holder is found in the same way.
 */
export async function whileNobodySubmits<T>(
  layout: Layout,
  examine: Examine,
  onBusy: (busy: Busy) => void,
  work: () => Promise<T>,
): Promise<T> {
  const folder = submitFolder(layout.lockDir);
  makeHeldFolder(folder).close();
  const apart: Layout = {
    ...layout,
    weightsDir: () => join(folder, "lock"),
    kernelLockPath: () => join(folder, "submit.lock"),
    displayName: () => "submit",
  };
  const store = await openStore(apart, examine, {});
  const acquisition = await acquireOrWait({
    store,
    configuration: counting,
    command: ["trainlock", "submit"],
    waitMs: patienceMs,
    onBusy,
  });
  if (acquisition.kind === "busy") {
    throw new EnvironmentError(
      `another submit has not ended for ${patienceMs / 60_000} min (${acquisition.busy.path})`,
      {
        code: "ERR_SUBMIT_BUSY",
        hint: "trainlock list -v says who it is",
      },
    );
  }
  try {
    return await work();
  } finally {
    await acquisition.lock.release({ exitCode: null });
  }
}
