import { exitCodes } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { initSite } from "../../site/init-site.ts";
import { defineCommand } from "../command.ts";
import { print } from "../output.ts";
import { placeOptions } from "../site-options.ts";

export const command = defineCommand({
  summary: "write a trainlock.yaml in which every setting is a comment",
  options: placeOptions,
  examples: ["trainlock init --root /data", "trainlock init --config ./trainlock.yaml"],
  exitCodes: {
    0: "written",
    2: "the call is wrong, or the file is there already",
    3: "it cannot be written",
  },
  execute(given) {
    print(`Wrote ${printable(initSite(given))}\n`);
    return exitCodes.ok;
  },
});
