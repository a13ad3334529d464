import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Hosts } from "../etcd/cluster.ts";
import { startReadyScript } from "../support/ready-script.ts";

const script = fileURLToPath(new URL("network.sh", import.meta.url));

export type Plug = `peer${number}` | `member${number}` | `client${number}`;
/** `out`: a cable that was pulled, which its host notices. `nowhere`: packets vanish, and nobody is told. */
export type Plugged = "in" | "out" | "nowhere";

/** Three members and two hosts of clients, joined by switches of the test's own. */
export interface Network {
  readonly hosts: Hosts;
  /** What a program's name is put behind, for it to run on a host of clients. */
  readonly clients: readonly (readonly string[])[];
  plug(plugs: readonly Plug[], how: Plugged): void;
  /** Everything plugged in again. */
  mend(): void;
  /** Ends it; the namespaces that are left over. */
  stop(): Promise<string[]>;
}

export async function startNetwork(): Promise<Network> {
  const run = `${process.pid}-${Date.now() % 100_000}`;
  const running = await startReadyScript(script, [run]);
  const inside = (name: string) => ["nsenter", `--net=/run/netns/tlf-${run}-${name}`];
  const out = new Set<Plug>();
  const plug: Network["plug"] = (plugs, how) => {
    for (const each of plugs) {
      const bridge = each.startsWith("peer") ? "peers" : "clients";
      const place = how === "nowhere" ? ["nomaster", "up"] : ["master", bridge, how === "in" ? "up" : "down"];
      const { status, stderr } = spawnSync("ip", ["-n", `tlf-${run}-switch`, "link", "set", each, ...place]);
      if (status !== 0) throw new Error(`${each} cannot be plugged ${how}: ${stderr}`);
      if (how === "in") out.delete(each);
      else out.add(each);
    }
  };
  return {
    hosts: {
      members: [0, 1, 2].map((member) => ({
        address: `10.79.0.1${member}`,
        peerAddress: `10.78.0.1${member}`,
        inside: inside(`m${member}`),
      })),
      admin: inside("switch"),
    },
    clients: [inside("c0"), inside("c1")],
    plug,
    mend: () => plug([...out], "in"),
    stop: async () => {
      await running.stop();
      const { stdout } = spawnSync("ip", ["netns", "list"], { encoding: "utf8" });
      return stdout.split("\n").filter((line) => line.includes(`tlf-${run}-`));
    },
  };
}
