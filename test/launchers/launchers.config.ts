import { defineConfig } from "vitest/config";

/** Launchers whose packages are large: `npm run test:launchers`. */
export default defineConfig({
  test: { include: ["test/launchers/*.heavy.ts"], testTimeout: 300_000, hookTimeout: 60_000 },
});
