import { describe, expect, test } from "vitest";
import { parseEtcdAddress } from "../../src/etcd/address.ts";
import { UsageError } from "../../src/model/errors.ts";

function refusal(text: string): UsageError {
  try {
    parseEtcdAddress(text);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error(`taken: ${text}`);
}

test("hosts, ports and prefix are read, and what is left out has its usual value", () => {
  expect(parseEtcdAddress("etcd://h1:2379,h2:2380/team/locks")).toEqual({
    secure: false,
    endpoints: ["h1:2379", "h2:2380"],
    prefix: "/team/locks",
  });
  expect(parseEtcdAddress("etcds://db.example.org")).toEqual({
    secure: true,
    endpoints: ["db.example.org:2379"],
    prefix: "/trainlock",
  });
  expect(parseEtcdAddress("etcd://[::1]:99,[fe80::2]").endpoints).toEqual(["[::1]:99", "[fe80::2]:2379"]);
});

test("a prefix begins with one slash and ends with none", () => {
  const prefixOf = (path: string) => parseEtcdAddress(`etcd://h${path}`).prefix;
  expect(["", "/", "//", "/a/", "//a//b/"].map(prefixOf)).toEqual([
    "/trainlock",
    "/trainlock",
    "/trainlock",
    "/a",
    "/a/b",
  ]);
});

test("an endpoint that is named twice is asked once", () => {
  expect(parseEtcdAddress("etcd://h,h:2379").endpoints).toEqual(["h:2379"]);
});

describe("what could be meant for something else is refused by name", () => {
  const wrong = {
    "another scheme": "http://h:2379",
    "a scheme in capitals": "ETCD://h",
    "no scheme": "h:2379",
    "no host": "etcd:///locks",
    "an empty host": "etcd://h1,,h2",
    "a host that is only a port": "etcd://:2379",
    "port 0": "etcd://h:0",
    "a port beyond the last": "etcd://h:65536",
    "a port that is no number": "etcd://h:2379x",
    "an empty port": "etcd://h:",
    "IPv6 without brackets": "etcd://fe80::1:2379",
    "brackets around a name": "etcd://[h]:2379",
    "the parent's prefix": "etcd://h/locks/../other",
    "a dot for a prefix": "etcd://h/./locks",
    "a query": "etcd://h/locks?x=1",
    "a fragment": "etcd://h/locks#1",
    "a line break": "etcd://h/locks\nx",
    "an escape": "etcd://h/\u001b[31m",
    "a direction mark": "etcd://h/\u202elocks",
    "a space": "etcd://h /locks",
    "a host with a percent sign": "etcd://h%41",
  };
  for (const [what, text] of Object.entries(wrong)) {
    test(what, () => {
      const { message, hint } = refusal(text);
      expect(message).toContain(JSON.stringify(text));
      expect(hint).toMatch(/etcd:\/\/host:2379/);
    });
  }
});

test("an address with a user or a password is refused, and the password not repeated", () => {
  for (const text of ["etcd://alice@h:2379", "etcd://alice:secret@h:2379", "etcds://a:se@cret@h"]) {
    const { message, hint } = refusal(text);
    expect(message).toMatch(/no user and no password: etcds?:\/\/\.\.\.@"h/);
    expect(message).not.toMatch(/alice|secret|cret/);
    expect(hint).toContain("TRAINLOCK_STORE_USER");
  }
});
