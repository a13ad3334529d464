import admins from "../../../docs/admins.md" with { type: "text" };
import board from "../../../docs/board.md" with { type: "text" };
import comparison from "../../../docs/comparison.md" with { type: "text" };
import etcd from "../../../docs/etcd.md" with { type: "text" };
import exitCodes from "../../../docs/exit-codes.md" with { type: "text" };
import fencing from "../../../docs/fencing.md" with { type: "text" };
import fileSystems from "../../../docs/file-systems.md" with { type: "text" };
import grids from "../../../docs/grids.md" with { type: "text" };
import guarantees from "../../../docs/guarantees.md" with { type: "text" };
import history from "../../../docs/history.md" with { type: "text" };
import jobScripts from "../../../docs/job-scripts.md" with { type: "text" };
import json from "../../../docs/json.md" with { type: "text" };
import launchers from "../../../docs/launchers.md" with { type: "text" };
import library from "../../../docs/library.md" with { type: "text" };
import protocol from "../../../docs/protocol.md" with { type: "text" };
import python from "../../../docs/python.md" with { type: "text" };
import run from "../../../docs/run.md" with { type: "text" };
import security from "../../../docs/security.md" with { type: "text" };
import siteConfiguration from "../../../docs/site-configuration.md" with { type: "text" };
import troubleshooting from "../../../docs/troubleshooting.md" with { type: "text" };
import tutorial from "../../../docs/tutorial.md" with { type: "text" };
import upgrading from "../../../docs/upgrading.md" with { type: "text" };
import verdicts from "../../../docs/verdicts.md" with { type: "text" };
import work from "../../../docs/work.md" with { type: "text" };

/** The pages of the documentation, by the name that `trainlock help` takes. */
export const helpPages: Readonly<Record<string, string>> = {
  admins,
  board,
  comparison,
  etcd,
  "exit-codes": exitCodes,
  fencing,
  "file-systems": fileSystems,
  grids,
  guarantees,
  history,
  "job-scripts": jobScripts,
  json,
  launchers,
  library,
  protocol,
  python,
  run,
  security,
  "site-configuration": siteConfiguration,
  troubleshooting,
  tutorial,
  upgrading,
  verdicts,
  work,
};
