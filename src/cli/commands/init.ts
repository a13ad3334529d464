import type { Command } from "commander";
import { exitCodes } from "../../model/errors.ts";
import { initSite } from "../../site/init-site.ts";
import { helpEnd } from "../help.ts";
import { print } from "../output.ts";
import { printable } from "../show/printable.ts";
import { addPlaceOptions, type SiteOptions } from "../site-options.ts";

export function addInitCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program.command("init").description("write a trainlock.yaml in which every setting is a comment");
  addPlaceOptions(command)
    .addHelpText(
      "after",
      helpEnd(["trainlock init --root /data", "trainlock init --config ./trainlock.yaml"], {
        0: "written",
        2: "the call is wrong, or the file is there already",
        3: "it cannot be written",
      }),
    )
    .action((options: SiteOptions) => {
      print(`Wrote ${printable(initSite(options))}\n`);
      done(exitCodes.ok);
    });
}
