#!/bin/sh
# Runs every fuzz target of a build folder over its corpus: fuzz.sh BUILD SECONDS. A target's planted
# twin must be caught within a minute, else the target itself is broken.
set -eu
cd "$(dirname "$0")/.."
build=$1
seconds=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Without entropic scheduling: its bookkeeping took two fifths of the time of the checkpoint target.
options="-entropic=0 -timeout=5 -rss_limit_mb=512"
export ASAN_OPTIONS=quarantine_size_mb=64
for source in tests/fuzz/*_fuzz.cpp; do
  name=$(basename "$source" _fuzz.cpp)
  mkdir -p "$work/$name" "$work/$name-planted"
  dictionary=""
  [ -f "tests/fuzz/$name.dict" ] && dictionary="-dict=tests/fuzz/$name.dict"
  # shellcheck disable=SC2086
  "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" $options $dictionary \
    -artifact_prefix="$work/" "$work/$name" "tests/fuzz/corpus/$name" >"$work/log" 2>&1 ||
    { tail -40 "$work/log"; echo "fuzz_$name found a fault"; exit 1; }
  grep -E '^(Done|stat::number_of_executed)' "$work/log" | sed "s/^/fuzz_$name: /" || true
  # shellcheck disable=SC2086
  if "$build/tests/fuzz/fuzz_${name}_planted" -max_total_time=60 $options $dictionary \
    -artifact_prefix="$work/" "$work/$name-planted" "tests/fuzz/corpus/$name" >"$work/log" 2>&1; then
    echo "fuzz_$name did not find its planted fault in a minute"
    exit 1
  fi
  echo "fuzz_$name: planted fault found"
done
