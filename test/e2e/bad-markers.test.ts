import { existsSync } from "node:fs";
import { mkdir, symlink, truncate } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { listing, writtenAt } from "./listing.ts";

type Make = (of: TestConfiguration) => Promise<unknown>;

const text =
  (content: string | Uint8Array): Make =>
  (of) =>
    writeMarker(of, content);
const inFolder =
  (make: (marker: string) => Promise<unknown>): Make =>
  async (of) => {
    await mkdir(of.weightsDir, { recursive: true });
    await make(of.marker);
  };

/** What no writer leaves. None of it proves that nobody trains. */
const strange: readonly { readonly what: string; readonly make: Make; readonly needs?: "mkfifo" }[] = [
  { what: "a folder", make: inFolder((marker) => mkdir(marker)) },
  { what: "a FIFO", make: inFolder((marker) => finish("mkfifo", [marker])), needs: "mkfifo" },
  { what: "a symlink to /etc/passwd", make: inFolder((marker) => symlink("/etc/passwd", marker)) },
  { what: "a symlink to nothing", make: inFolder((marker) => symlink("/nonexistent/file", marker)) },
  { what: "a symlink to itself", make: inFolder((marker) => symlink(marker, marker)) },
  { what: "a symlink to /dev/zero", make: inFolder((marker) => symlink("/dev/zero", marker)) },
  {
    what: "1 GiB of zeros",
    make: async (of) => {
      await writeMarker(of, "");
      await truncate(of.marker, 2 ** 30);
    },
  },
  { what: "binary", make: text(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 0xff, 0xfe])) },
  { what: "zeros", make: text(Buffer.alloc(16)) },
  { what: "PID 0", make: text("0\n") },
  { what: "PID -1", make: text("-1\n") },
  { what: "PID 99999999999", make: text("99999999999\n") },
  { what: "a number of 400 digits", make: text(`${"9".repeat(400)}\n`) },
  { what: "two lines", make: text("1\n2\n") },
  { what: "a PID and more", make: text("1 makalu94\n") },
  { what: "a fraction", make: text("1.5\n") },
  { what: "terminal escape codes", make: text("\u001b[31m1\u001b[0m\n") },
];

describe.each(strange)("a marker that is $what", ({ make, needs }) => {
  const define = needs === undefined ? test : requiresPrograms(needs);

  define("is unknown: check says locked, run is turned away, list shows it, clear leaves it", async () => {
    const of = configuration(await temporaryRoot());
    await make(of);

    const check = await trainlock(["check", ...of.args]);
    expect(check).toMatchObject({ exitCode: 1, stdout: "" });
    expect(check.stderr).toMatch(
      /\n {2}Status: UNKNOWN - remote process( \(.+\))?\nSkipping to avoid duplicate training\.\n$/,
    );

    const run = await trainlock(["run", ...of.args, "--", "echo", "trained"]);
    expect(run).toMatchObject({ exitCode: 75, stdout: "" });
    expect(run.stderr).toMatch(/^SKIP: Another job .*is already training this model\n/);

    const known = `PID: none, Started: ${writtenAt(of.marker)}`;
    const lock = { kind: "file", name: of.name, label: "UNKNOWN - remote process", known, path: of.marker } as const;
    expect(await trainlock(["list", "--root", of.root])).toMatchObject({
      exitCode: 0,
      stdout: listing([lock]),
      stderr: "",
    });

    const clear = await trainlock(["clear", "--root", of.root, "--no-dry-run"]);
    expect(clear).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^No stale locks found\n/) });
    expect(writtenAt(of.marker)).toBe(known.slice("PID: none, Started: ".length));
  });
});

test("a marker that is a symlink is never followed: what it points to stays, even with clear --force", async () => {
  const of = configuration(await temporaryRoot());
  const precious = `${of.root}/precious`;
  await mkdir(precious);
  await inFolder((marker) => symlink(precious, marker))(of);
  const clear = await trainlock(["clear", "--root", of.root, "--force", "--no-dry-run"]);
  expect([0, 3]).toContain(clear.exitCode);
  expect(existsSync(precious)).toBe(true);
});
