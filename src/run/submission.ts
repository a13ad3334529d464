import { basename } from "node:path";

/** The words behind a program's name. */
type Rest = readonly string[];

/** Programs that hand a command to a queue or to a daemon and end at once: whether they do so when called with these words. */
const submitters: ReadonlyMap<string, (rest: Rest) => boolean> = new Map([
  ["sbatch", unless(/^(-W|--wait)$/)],
  ["bsub", unless(/^-(K|I|Ip|Is|IS)$/)],
  ["qsub", unless(/^(-I|-sync y(es)?|-W (.*,)?block=true(,.*)?)$/)],
  ["condor_submit", unless(/^-i(nteractive)?$/)],
  ["at", () => true],
  ["batch", () => true],
  ["tsp", unless(/^-\w*f\w*$/)],
  ["flux", (rest) => /^(submit|batch)$/.test(rest[0] ?? "")],
  ["systemd-run", unless(/^(--wait|--scope|--pipe|--pty|--shell|-\w*[PtS]\w*)$/)],
  ["docker", startsDetached],
  ["nerdctl", startsDetached],
  ["tmux", startsInServer],
]);

/** Where the option is given, the end of the job is waited for. It is one word, or two. */
function unless(option: RegExp): (rest: Rest) => boolean {
  return (rest) => !rest.some((word, index) => option.test(word) || option.test(`${word} ${rest[index + 1]}`));
}

/** The options before the first word that is none. What comes behind that is for the command. */
function ownOptions(rest: Rest, takesValue: (option: string) => boolean): string[] {
  const options: string[] = [];
  for (let at = 0; rest[at]?.startsWith("-") && rest[at] !== "--"; at += takesValue(rest[at] ?? "") ? 2 : 1)
    options.push(rest[at] ?? "");
  return options;
}

/** Options of `docker run` and `docker exec` without a value. */
const dockerSwitches =
  /^(-[ditPq]+|--(detach|init|interactive|no-healthcheck|oom-kill-disable|privileged|publish-all|quiet|read-only|rm|tty)|.*=.*)$/;

function startsDetached(rest: Rest): boolean {
  const at = rest.findIndex((word) => /^(run|exec|up)$/.test(word));
  const hasValue = (option: string) => !dockerSwitches.test(option) && /^(--.*|-.)$/.test(option);
  return (
    at >= 0 &&
    ownOptions(rest.slice(at + 1), hasValue).some((word) => /^(--detach(=true)?|-[itPq]*d[itPq]*)$/.test(word))
  );
}

/**
 * The server runs what is in a window, and may be older than this call. A session that is not detached lasts as long as its
 * client.
 */
function startsInServer(rest: Rest): boolean {
  const at = rest.findIndex((word, index) => !word.startsWith("-") && !/^-[cfLST]$/.test(rest[index - 1] ?? ""));
  const command = rest[at] ?? "";
  if (!/^new(-session)?$/.test(command))
    return /^(neww|new-window|splitw|split-window|send|send-keys|respawn[wp]|respawn-(window|pane))$/.test(command);
  const options = ownOptions(rest.slice(at + 1), (option) => /^-[AdDEPX]*[cefFnstxy]$/.test(option));
  return options.some((word) => /^-[ADEPX]*d/.test(word));
}

/** These start their last arguments as a program; of their own ones options, variables and numbers are passed over. */
const starters = new Set(["env", "exec", "nice", "nohup", "setsid", "stdbuf", "timeout"]);

/**
 * The name of the program by which a command only submits a job, and ends long before that does; null: it submits none. What a
 * shell script submits is not seen.
 */
export function submitterIn(argv: readonly string[]): string | null {
  const at = argv.findIndex((word) => !(starters.has(basename(word)) || /^-|=|^[\d.]+[smhd]?$/.test(word)));
  const name = basename(argv[at] ?? "");
  return submitters.get(name)?.(argv.slice(at + 1)) === true ? name : null;
}
