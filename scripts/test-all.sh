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
TEST_SUMMARY=$(mktemp) || exit
export TEST_SUMMARY
trap 'rm -f "$TEST_SUMMARY"' EXIT
npx vitest run --reporter=default --reporter=./scripts/summary-reporter.mjs
vitest_code=$?
summary=$(cat "$TEST_SUMMARY")
[[ -n $summary ]] || summary='0 1 0'
printf '\n'
sed '$d' <<<"$summary"
read -r tests_passed tests_failed tests_skipped <<<"${summary##*$'\n'}"
((vitest_code == 0 || tests_failed > 0)) || tests_failed=1
((passed += tests_passed, failed += tests_failed, skipped += tests_skipped))
finish
