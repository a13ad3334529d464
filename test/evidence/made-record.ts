import { newOwnerRecord } from "../../src/stores/claim-record.ts";

/** A record as this process would make it, of no configuration. */
export const madeRecord = () =>
  newOwnerRecord({
    configuration: null,
    token: "0".repeat(32),
    generation: 1,
    weightsDir: "/w",
    lockInode: 7n,
    command: null,
  });
