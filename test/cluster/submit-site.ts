import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { tool } from "./jobs.ts";

/** A grid on the shared folder, and what can be done with it. */
export interface Site {
  readonly root: string;
  submit(options: readonly string[], script: string, user?: string): ReturnType<Cluster["on"]>;
  work(options: readonly string[], script: string): ReturnType<Cluster["on"]>;
  states(): Promise<Record<string, string>>;
  counts(): Promise<Record<string, number>>;
  lines(name: string): Promise<string[]>;
}

export async function siteOn(cluster: Cluster, name: string, grid: string): Promise<Site> {
  const root = join(cluster.shared, name);
  await cluster.ask("login", [
    "sh",
    "-c",
    `umask 0; mkdir -p ${root} && printf '%s' "$1" >${root}/grid.yaml`,
    "sh",
    grid,
  ]);
  const call = (command: string, options: readonly string[], script: string) => [
    ...[tool, command, `${root}/grid.yaml`, "--root", root, "--done-when", "final.pth", ...options],
    ...["--", "sh", "-c", script],
  ];
  const plan = async () => {
    const shown = [tool, "plan", `${root}/grid.yaml`, "--root", root, "--done-when", "final.pth", "--json"];
    return JSON.parse((await cluster.on("login", shown)).stdout) as {
      rows: { name: string; state: string }[];
      counts: Record<string, number>;
    };
  };
  return {
    root,
    submit: (options, script, user) =>
      cluster.on("login", [
        ...(user === undefined ? [] : ["setpriv", `--reuid=${user}`, "--clear-groups"]),
        ...call("submit", options, script),
      ]),
    work: (options, script) => cluster.on("login", call("work", options, script)),
    states: async () => Object.fromEntries((await plan()).rows.map((row) => [row.name.split("/")[0], row.state])),
    counts: async () => {
      const { counts } = await plan();
      return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
    },
    lines: async (file) => {
      const { stdout } = await cluster.on("login", ["cat", join(root, file)]);
      return stdout.split("\n").filter(Boolean);
    },
  };
}

/** `s1`, `s2` and so on. */
export const names = (count: number) => Array.from({ length: count }, (_, index) => `s${index + 1}`);
export const gridOf = (count: number, more = "") =>
  `- { strategy: [${names(count).join(", ")}], dataset: D, model: m${more} }\n`;

/** Notes its row, waits for the gate where there is one, and leaves what shows it to be done. */
export const training = (root: string, more = "") =>
  `echo "$TRAINLOCK_STRATEGY $SLURM_ARRAY_JOB_ID" >>${root}/ran; ${more} head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"`;
export const gate = (root: string) => `while [ ! -e ${root}/go ]; do sleep 0.1; done;`;
