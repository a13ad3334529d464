import { writeFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

/**
 * Vitest reporter for scripts/test-all.sh. Writes into the file $TEST_SUMMARY what is to be read last: each test that was
 * skipped, that was late and passed when it was tried again, that failed, and then `passed failed skipped`. A file that could
 * not be loaded counts as one failure, and so does an error outside of the tests.
 */
export default class SummaryReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const lines = [];
    let passed = 0;
    let failed = 0;
    let skipped = 0;
    for (const testModule of modules) {
      for (const test of testModule.children.allTests()) {
        const name = `${testModule.relativeModuleId} > ${test.fullName}`;
        const { state, errors } = test.result();
        if (state === "passed") {
          passed += 1;
          if (test.diagnostic()?.flaky) lines.push(`late, passed when tried again: ${name}: ${firstLine(errors?.[0])}`);
        } else if (state === "failed") {
          failed += 1;
          lines.push(`failed: ${name}: ${firstLine(errors[0])}`);
        } else {
          skipped += 1;
          lines.push(`skipped: ${name}`);
        }
      }
      const errors = [...testModule.errors(), ...suiteErrors(testModule)];
      failed += errors.length;
      lines.push(...errors.map((error) => `failed: ${testModule.relativeModuleId}: ${firstLine(error)}`));
    }
    failed += unhandledErrors.length;
    lines.push(...unhandledErrors.map((error) => `failed: outside of the tests: ${firstLine(error)}`));
    writeFileSync(process.env.TEST_SUMMARY, [...lines, `${passed} ${failed} ${skipped}\n`].join("\n"));
  }
}

function suiteErrors(testModule) {
  return [...testModule.children.allSuites()].flatMap((suite) => suite.errors());
}

function firstLine(error) {
  return stripVTControlCharacters(error?.message ?? "")
    .split("\n")[0]
    .slice(0, 300);
}
