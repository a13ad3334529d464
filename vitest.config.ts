import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Most tests wait for processes: two files at a time keep two processors busy, and more would only make each other late.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // On a busy machine a wait may run out of time: that one test is tried once more, and named at the end of `npm test`. What
    // went wrong in any other way has failed.
    retry: { count: 1, condition: /^not within \d+ ms|^still running after \d+ ms|^Test timed out in/ },
  },
});
