#!/bin/bash
# fuzz.sh DURATION [DIRECTORY...] runs every fuzz test of the module, or of these
# directories, for DURATION each. What one finds holds up no other.
set -euo pipefail
cd "$(dirname "$0")/../.."
duration=$1
shift
[ $# -gt 0 ] || set -- .
said=$(mktemp)
trap 'rm -f "$said"' EXIT
trap 'exit 130' INT

fuzz() { # fuzz DIRECTORY NAME
  # by itself go makes each new input small for a minute, and tries nothing else meanwhile
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$duration" -fuzzminimizetime 1s "./$1" < /dev/null | tee "$said" || over
}

# over tells whether only the time was over, which go before 1.27 sometimes calls a failure (golang/go issue 75804).
over() { grep -qx '    context deadline exceeded' "$said" && ! grep -q 'Failing input' "$said"; }

failed=()
while IFS=: read -r file name; do
  dir=$(dirname "$file")
  echo "$dir $name"
  fuzz "$dir" "$name" || failed+=("$dir $name")
done < <(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' "$@" | sed 's/:func /:/' | sort)
[ ${#failed[@]} -eq 0 ] || { printf 'failed: %s\n' "${failed[@]}" >&2; exit 1; }
