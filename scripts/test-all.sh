#!/usr/bin/env bash
# Everything that is checked before a change goes in: type check, lint, build, all tests. The last line of its output is
# `N passed, N failed`, with `, N skipped` where tests were; a type check, a lint run or a build counts as one.
# Exit 1 if anything failed, and with CI=true if anything was skipped.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

passed=0
failed=0
skipped=0

finish() {
  local line="$passed passed, $failed failed"
  ((skipped == 0)) || line+=", $skipped skipped"
  if ((skipped > 0)) && [[ ${CI:-} == true ]]; then
    printf '\nCI=true: a skipped test is a failure.\n'
    failed_by_skip=1
  fi
  printf '\n%s\n' "$line"
  ((failed == 0 && ${failed_by_skip:-0} == 0))
  exit
}

# step NAME COMMAND…
step() {
  printf '\n== %s ==\n' "$1"
  if "${@:2}"; then
    ((passed += 1))
  else
    printf 'FAILED: %s\n' "$1"
    ((failed += 1))
    return 1
  fi
}

printf '== packages ==\n'
if ! npm run --silent setup; then
  failed=1
  echo 'FAILED: npm install'
  finish
fi
bash scripts/install-test-packages.sh

step 'type check' npm run --silent typecheck
step 'lint' npm run --silent lint
# The tests start dist/trainlock: an old one would be tested in place of this one, and tsc deletes no file that has moved.
rm -rf dist
step 'build' npm run --silent build || finish

printf '\n== tests ==\n'
report=$(mktemp) || exit
trap 'rm -f "$report"' EXIT
npx vitest run --reporter=default --reporter=json --outputFile.json="$report"
vitest_code=$?

# Prints `passed failed skipped` as the last line, the skipped tests before it. A file that could not be loaded has no
# tests in the report, and counts as one failure; so does a run that ends badly though no test failed.
summary=$(
  node - "$report" "$vitest_code" <<'NODE'
const { readFileSync } = require("node:fs");
const [, , path, vitestCode] = process.argv;
let passed = 0;
let failed = 0;
let skipped = 0;
try {
  const report = JSON.parse(readFileSync(path, "utf8"));
  for (const file of report.testResults) {
    if (file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")) failed += 1;
    for (const test of file.assertionResults) {
      if (test.status === "passed") passed += 1;
      else if (test.status === "failed") failed += 1;
      else {
        skipped += 1;
        console.log(`skipped: ${test.fullName}`);
      }
    }
  }
} catch (error) {
  console.log(`no readable report from vitest: ${error.message}`);
}
if (vitestCode !== "0" && failed === 0) failed = 1;
console.log(`${passed} ${failed} ${skipped}`);
NODE
)
sed '$d' <<<"$summary"
read -r tests_passed tests_failed tests_skipped <<<"${summary##*$'\n'}"
((passed += tests_passed, failed += tests_failed, skipped += tests_skipped))
finish
