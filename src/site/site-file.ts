import type { Dimension, DimensionValue } from "../model/dimensions.ts";
import { durationMs } from "../model/durations.ts";
import { type HostName, isHostName } from "../model/host-name.ts";
import { nameProblem } from "../model/names.ts";
import { lockPrimitives } from "../system/libc/flock.ts";
import { readDoneDeclaration, readPatterns } from "./done-declaration.ts";
import { readProgressDeclaration } from "./progress-declaration.ts";
import { emptySiteConfig, type SiteConfig, schedulers } from "./site-config.ts";
import { readInnerPath, readWeights } from "./site-file-weights.ts";
import { readStore } from "./store-settings.ts";
import { fixedFields } from "./template.ts";
import { readYaml, type YamlValue } from "./yaml-reader.ts";

const mostAttempts = 1000;

const keys = [
  "version",
  "lock_dir",
  "lock_primitive",
  "strategies",
  "models",
  "datasets",
  "dimensions",
  "weights",
  "links",
  "done",
  "checkpoint",
  "grid",
  "group",
  "mode",
  "hosts",
  "scheduler",
  "ssh",
  "timeouts",
  "store",
  "progress",
  "record",
  "history",
  "requeue_wait",
  "max_attempts",
] as const;

/** What a later trainlock may count on from. */
export const siteFileVersion = 1;

/** Reads and checks the text of a site's file; `file` names it in messages. Throws a UsageError with line and key. */
export function parseSiteFile(text: string, file: string): SiteConfig {
  // Nothing but comments, as `init` writes it: not worth loading the YAML reader for.
  if (text.split("\n").every((line) => /^\s*(#.*)?$/.test(line))) return emptySiteConfig;
  const top = readYaml(text, file).mapping(keys);
  const lines: Record<string, number> = {};
  const take = <T>(key: (typeof keys)[number], read: (value: YamlValue) => T, missing: T): T => {
    const value = top.get(key);
    if (value === undefined) return missing;
    lines[key] = value.line;
    return read(value);
  };
  take("version", (value) => value.version(siteFileVersion), siteFileVersion);
  const { timeouts, ssh } = emptySiteConfig;
  const dimensions = take("dimensions", readDimensions, []);
  const datasets = take("datasets", (value) => readNames(value, "dataset", "datasets"), null);
  return {
    lockDir: take("lock_dir", readInnerPath, null),
    strategies: take("strategies", (value) => readNames(value, "strategy", "strategies"), null),
    models: take("models", (value) => readNames(value, "model", "models"), null),
    datasets,
    dimensions,
    weights: take("weights", (value) => readWeights(value, { dimensions, datasets }), []),
    links: take("links", (value) => value.list().map(readLinkedFolder), []),
    done: take("done", readDoneDeclaration, null),
    checkpoint: take("checkpoint", readPatterns, []),
    grid: take("grid", (value) => ({ file, value }), null),
    lockPrimitive: take("lock_primitive", (value) => value.oneOf(lockPrimitives), "flock"),
    group: take("group", readGroup, null),
    mode: take("mode", readMode, null),
    hosts: take("hosts", (value) => value.list().map(readHost), []),
    scheduler: take("scheduler", (value) => value.oneOf(schedulers), "auto"),
    ssh: take("ssh", (value) => readSsh(value, lines), ssh),
    timeouts: take("timeouts", (value) => readTimeouts(value, lines), timeouts),
    store: take("store", (value) => readStore(value, lines), null),
    progress: take("progress", readProgressDeclaration, null),
    requeueWaitMs: take("requeue_wait", readRequeueWait, emptySiteConfig.requeueWaitMs),
    maxAttempts: take("max_attempts", readAttempts, 1),
    history: take("history", isOn, true),
    recordsCommand: take("record", (value) => readRecord(value, lines), true),
    lines,
  };
}

function readNames(value: YamlValue, one: string, many: string): readonly string[] {
  const expected = `the name of a ${one}`;
  const names = value.list().map((item) => {
    const name = item.text(expected);
    return nameProblem(name) === null ? name : item.fail(expected);
  });
  return names.length === 0 || new Set(names).size < names.length ? value.fail(`different names of ${many}`) : names;
}

/** The dimensions of a site, in the order in which they become part of names. */
function readDimensions(value: YamlValue): readonly Dimension[] {
  const dimensions = value.mapping();
  const read = [...dimensions].map(([name, own]) => readDimension(name, own));
  const prefixes = read.map(({ prefix }) => prefix);
  const repeated = read.find(({ prefix }, index) => prefixes.indexOf(prefix) !== index);
  return repeated === undefined
    ? read
    : value.fail(`different prefixes: ${JSON.stringify(repeated.prefix)} is there twice`);
}

function readDimension(name: string, value: YamlValue): Dimension {
  const taken: readonly string[] = [...fixedFields, "dimensions", "aux"];
  if (!/^[a-z][a-z0-9_]{0,63}$/.test(name) || taken.includes(name))
    return value.fail("a dimension's name: small letters, digits and '_', none of the fixed fields");
  const own = value.mapping(["type", "optional", "prefix", "values"]);
  const type = own.get("type")?.oneOf(["integer", "number", "text"] as const) ?? value.fail("a `type`");
  const given = own.get("prefix");
  const prefix = given?.text("a text such as _seed") ?? `_${name}`;
  if (given !== undefined && (nameProblem(prefix) !== null || !/\p{L}/u.test(prefix)))
    given.fail("a text with a letter in it, such as _seed");
  const values =
    own
      .get("values")
      ?.list()
      .map((item) => readDimensionValue(item, type)) ?? null;
  if (values !== null && (values.length === 0 || new Set(values).size < values.length))
    own.get("values")?.fail("different values");
  return { name, type, optional: own.get("optional")?.flag() ?? false, prefix, values };
}

function readDimensionValue(value: YamlValue, type: Dimension["type"]): DimensionValue {
  if (type === "integer") return value.integer("an integer of 0 or more", 0, Number.MAX_SAFE_INTEGER);
  const scalar = value.scalar(type === "number" ? "a number of 0 or more" : "a text");
  if (type === "number")
    return typeof scalar === "number" && scalar >= 0 ? scalar : value.fail("a number of 0 or more");
  return nameProblem(String(scalar)) === null ? String(scalar) : value.fail("a text that can be part of a name");
}

function readGroup(value: YamlValue): string | number {
  const expected = "the name or number of a group";
  const group = value.scalar(expected);
  return typeof group === "number" || /^[A-Za-z_][\w.-]{0,63}$/.test(group) ? group : value.fail(expected);
}

/** YAML 1.2 takes 0664 for the number six hundred and sixty-four, and 0o664 for another: the digits are read. */
function readMode(value: YamlValue): number {
  const expected = "permissions in octal, such as 0664, that let the owner read and write";
  const digits = value.source.replace(/^0o/, "");
  const mode = /^0?[0-7]{3}$/.test(digits) ? Number.parseInt(digits, 8) : value.fail(expected);
  return (mode & 0o600) === 0o600 && (mode & 0o111) === 0 ? mode : value.fail(`${expected}, and nobody execute`);
}

function readLinkedFolder(value: YamlValue): string {
  const expected = "the absolute path of a folder, without .. in it and not / itself";
  const path = value.text(expected);
  const plain = /^(\/[^/\p{Cc}]+)+\/?$/u.test(path) && !/\/\.\.?(\/|$)/.test(path);
  return plain ? path.replace(/\/$/, "") : value.fail(expected);
}

function readHost(value: YamlValue): HostName {
  const expected = "a host name";
  const name = value.text(expected);
  return isHostName(name) ? name : value.fail(expected);
}

function readSsh(value: YamlValue, lines: Record<string, number>): SiteConfig["ssh"] {
  const own = value.mapping(["user", "port", "jump_host"]);
  for (const [key, { line }] of own) lines[`ssh.${key}`] = line;
  const user = own.get("user");
  const name = user?.text("a user name") ?? null;
  if (name !== null && !/^[A-Za-z_][\w.-]{0,63}$/.test(name)) user?.fail("a user name");
  const jump = own.get("jump_host");
  return {
    user: name,
    port: own.get("port")?.integer("a port, 1 to 65535", 1, 65_535) ?? null,
    jumpHost: jump === undefined ? null : readHost(jump),
  };
}

const longestRequeueWaitMs = 86_400_000;

function readRequeueWait(value: YamlValue): number {
  const expected = "a duration such as 10m, at most 1d; 0s: it does not wait";
  const ms = durationMs(String(value.scalar(expected)));
  return ms === null || ms > longestRequeueWaitMs ? value.fail(expected) : ms;
}

/** The same for the site and for a block of a grid. */
export function readAttempts(value: YamlValue): number {
  return value.integer(`a number from 1 to ${mostAttempts}`, 1, mostAttempts);
}

function readRecord(value: YamlValue, lines: Record<string, number>): boolean {
  const command = value.mapping(["command"]).get("command") ?? value.fail("command: on or off");
  lines["record.command"] = command.line;
  return isOn(command);
}

/** YAML 1.1 took these words for true and false, and people write either. */
function isOn(value: YamlValue): boolean {
  return value.source === "true" || value.source === "false" ? value.flag() : value.oneOf(["on", "off"]) === "on";
}

function readTimeouts(value: YamlValue, lines: Record<string, number>): SiteConfig["timeouts"] {
  const own = value.mapping(["probe", "ssh", "scheduler"]);
  for (const [key, { line }] of own) lines[`timeouts.${key}`] = line;
  const read = (key: string, missing: number): number => {
    const given = own.get(key);
    if (given === undefined) return missing;
    const expected = "a duration such as 10s or 1m, at most 10m";
    const ms = durationMs(String(given.scalar(expected)));
    return ms === null || ms < 100 || ms > 600_000 ? given.fail(expected) : ms;
  };
  const { probeMs, sshMs, schedulerMs } = emptySiteConfig.timeouts;
  return {
    probeMs: read("probe", probeMs),
    sshMs: read("ssh", sshMs),
    schedulerMs: read("scheduler", schedulerMs),
  };
}
