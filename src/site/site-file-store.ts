import { durationMs } from "../model/durations.ts";
import {
  addressProblem,
  isPlainPath,
  isStoreUser,
  isTtl,
  type StoreDeclaration,
  ttlExpected,
} from "./store-settings.ts";
import type { YamlValue } from "./yaml-reader.ts";

/** `store:`, an address or a mapping with one. Notes the line of each key as `store.KEY`. */
export function readStore(value: YamlValue, lines: Record<string, number>): StoreDeclaration {
  if (!value.isMapping) {
    lines["store.address"] = value.line;
    return { ...nothingElse, address: readAddress(value) };
  }
  const own = value.mapping(["address", "ttl", "ca", "cert", "key", "user", "password_file", "also_marker"]);
  for (const [key, { line }] of own) lines[`store.${key}`] = line;
  const read = <T>(key: string, reader: (given: YamlValue) => T): T | null => {
    const given = own.get(key);
    return given === undefined ? null : reader(given);
  };
  return {
    address: read("address", readAddress) ?? value.fail("an `address`"),
    ttlMs: read("ttl", readTtl),
    caFile: read("ca", readPath),
    certFile: read("cert", readPath),
    keyFile: read("key", readPath),
    user: read("user", readUser),
    passwordFile: read("password_file", readPath),
    alsoMarker: read("also_marker", readAlsoMarker),
  };
}

const nothingElse = {
  ttlMs: null,
  caFile: null,
  certFile: null,
  keyFile: null,
  user: null,
  passwordFile: null,
  alsoMarker: null,
};

function readAddress(value: YamlValue): string {
  const text = value.text("an address such as etcd://host:2379");
  const problem = addressProblem(text);
  if (problem === null) return text;
  return problem.secret ? value.refuse(problem.expected) : value.fail(problem.expected);
}

function readTtl(value: YamlValue): number {
  const ms = durationMs(String(value.scalar(ttlExpected)));
  return isTtl(ms) ? ms : value.fail(ttlExpected);
}

function readPath(value: YamlValue): string {
  const expected = "the absolute path of a file";
  const path = value.text(expected);
  return isPlainPath(path) ? path : value.fail(expected);
}

function readUser(value: YamlValue): string {
  const user = value.text("a user name");
  return isStoreUser(user) ? user : value.fail("a user name");
}

function readAlsoMarker(value: YamlValue): boolean | null {
  const words: Readonly<Record<string, boolean | null>> = { true: true, false: false, auto: null };
  return words[value.source] ?? (value.source === "auto" ? null : value.fail("true, false or auto"));
}
