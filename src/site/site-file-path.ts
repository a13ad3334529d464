import type { YamlValue } from "./yaml-reader.ts";

/** A path below the root: the file lies in a shared folder, and must not lead out of it. */
export function readInnerPath(value: YamlValue): string {
  const expected = "a path within the root, without a leading '/' and without '..'";
  const path = value.text(expected).replace(/\/+$/, "");
  const names = path.split("/");
  const outside = path === "" || names.some((name) => name === "" || name === "." || name === "..");
  return outside || /\p{Cc}/u.test(path) ? value.fail(expected) : path;
}
