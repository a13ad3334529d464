import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

export const trainlock = at("../dist/trainlock");
export const bun = at("../node_modules/.bin/bun");
// The first in PATH may be a version manager's shell script, which takes longer than Python itself.
export const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
