import { expect, test } from "vitest";
import { EnvironmentError } from "../../src/model/errors.ts";
import { makeSharedFolder } from "../../src/system/files/shared-permissions.ts";

test.each(["/proc/nothing", "/proc/nothing/below/that"])("%s cannot be made, and the error says so", (path) => {
  expect(() => makeSharedFolder(path)).toThrow(EnvironmentError);
  expect(() => makeSharedFolder(path)).toThrow("cannot make the folder /proc/nothing: ENOENT");
});
