import { defineConfig } from "vitest/config";

/** A whole lab's grid on a cluster takes a quarter of an hour: `npm run test:lab`. */
export default defineConfig({
  test: { include: ["test/cluster/*.heavy.ts"], testTimeout: 300_000, hookTimeout: 120_000 },
});
