#!/bin/bash
# fuzz.sh DURATION [DIRECTORY...] runs every fuzz test of the module, or of these
# directories, for DURATION each. What one finds holds up no other.
set -euo pipefail
cd "$(dirname "$0")/../.."
duration=$1
shift
[ $# -gt 0 ] || set -- .
failed=()
trap 'exit 130' INT
while IFS=: read -r file name; do
  dir=$(dirname "$file")
  echo "$dir $name"
  # by itself go makes each new input small for a minute, and tries nothing else meanwhile
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" -fuzzminimizetime 1s "./$dir" < /dev/null || failed+=("$dir $name")
done < <(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' "$@" | sed 's/:func /:/' | sort)
[ ${#failed[@]} -eq 0 ] || { printf 'failed: %s\n' "${failed[@]}" >&2; exit 1; }
