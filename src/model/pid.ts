/** `PID_MAX_LIMIT` of Linux on 64 bit (proc(5), pid_max): no process has a higher number. */
const largestPid = 4_194_304;

export function isPid(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= largestPid;
}
