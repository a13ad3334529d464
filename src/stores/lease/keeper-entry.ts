// What the library starts as a process of its own; the executable has the same behind a hidden command.
import { runKeeper } from "./run-keeper.ts";

void runKeeper().then(
  () => process.exit(0),
  () => process.exit(1),
);
