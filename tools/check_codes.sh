#!/bin/sh
# Every error code in the sources has its line in docs/exit-codes.md. Prints each that has none.
set -eu
cd "$(dirname "$0")/.."
status=0
for code in $(git grep -hoE '\b[EW]0[0-9]{3}\b' -- 'src/*.cpp' 'src/*.h' 'include/*.h' | sort -u); do
  grep -qE "^\|( [EW0-9, ]*,)? $code\b" docs/exit-codes.md || {
    echo "$code is used but not in the tables of docs/exit-codes.md:"
    git grep -n "\b$code\b" -- src include | head -3
    status=1
  }
done
exit $status
