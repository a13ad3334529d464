import type { TrainlockSection } from "./owner-record.ts";

/** Clock ticks after its wrapper within which a command whose own start was not recorded is taken for the recorded one. */
const startedTogetherTicks = 6000;

/** Whether the process that has the command's PID, and began then, is that command and not a later one. */
export function isRecordedChild(
  { childStartTimeTicks, startTimeTicks }: TrainlockSection,
  beganTicks: number,
): boolean {
  if (childStartTimeTicks !== null) return beganTicks === childStartTimeTicks;
  if (startTimeTicks === null) return false;
  const after = beganTicks - startTimeTicks;
  return after >= 0 && after <= startedTogetherTicks;
}
