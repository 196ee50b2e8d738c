#!/bin/bash
# fuzz.sh DURATION [DIRECTORY...] runs every fuzz test of the module, or of these
# directories, for DURATION each.
set -euo pipefail
cd "$(dirname "$0")/../.."
duration=$1
shift
[ $# -gt 0 ] || set -- .
grep -rl --include='*_test.go' '^func Fuzz' "$@" | xargs -n1 dirname | sort -u | while read -r dir; do
  grep -ho --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //' | while read -r name; do
    echo "$dir $name"
    # by itself go makes each new input small for a minute, and tries nothing else meanwhile
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" -fuzzminimizetime 1s "./$dir" < /dev/null
  done
done
