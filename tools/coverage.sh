#!/usr/bin/env bash
# Coverage of what must not be wrong unseen (readers of outside bytes, the checkpoint writer, the
# schema, random keys, saved state) by its own tests. Each file needs 100 % of lines and 95 % of
# branches, or what tests/coverage/limits.txt allows it with a reason.
set -euo pipefail
cd "$(dirname "$0")/.."
covered='^(include/sing/core/(byte_reader|random)\.h
|src/core/(json_reader|utf8|file_system|posix_file_system|atomic_file|crc32c|sha256|random)\.cpp
|src/config/(yaml/.*|scalar|interpolate|merge|component|keys|struct|type)\.cpp
|src/tensor/safetensors_.*|src/data/png\.cpp
|src/train/checkpoint/.*\.cpp|src/train/state_io\.cpp)$'
build=build-coverage
program=$build/tests/coverage/coverage_readers
cmake --preset coverage >/dev/null
cmake --build --preset coverage
# Warnings that tests provoke are of no interest here.
LLVM_PROFILE_FILE=$build/readers.profraw $program --gtest_brief=1 2>$build/log.txt || {
  cat $build/log.txt
  exit 1
}
llvm-profdata-14 merge -sparse $build/readers.profraw -o $build/readers.profdata
llvm-cov-14 export -summary-only -instr-profile=$build/readers.profdata $program >$build/coverage.json
# One line a file: path, per cent of lines and branches (a file without branches has all of them).
sed 's/{"filename":/\n&/g' $build/coverage.json |
  sed -nE 's/.*"filename":"([^"]+)".*"branches":\{"count":([0-9]+),"covered":([0-9]+).*"lines":\{"count":([0-9]+),"covered":([0-9]+).*/\1 \4 \5 \2 \3/p' |
  sed "s#$PWD/##" | awk -v pattern="$(tr -d '\n' <<<"$covered")" '
    FNR == NR { if ($1 ~ /^[a-z]/) { lines[$1] = $2; branches[$1] = $3 } next }
    $1 !~ pattern { next }
    {
      ++files
      all_lines += $2; all_branches += $4; seen_branches += $5
      line = 100 * $3 / $2
      branch = $4 > 0 ? 100 * $5 / $4 : 100
      wanted_line = $1 in lines ? lines[$1] : 100
      wanted_branch = $1 in branches ? branches[$1] : 95
      if (line < wanted_line || branch < wanted_branch) {
        printf "%s: %.1f %% of lines and %.1f %% of branches; wanted %s and %s\n", $1, line, branch,
               wanted_line, wanted_branch
        failed = 1
      }
      delete lines[$1]
    }
    END {
      for (file in lines) { print file ": in limits.txt, but not measured"; failed = 1 }
      # Files that were moved away would otherwise pass unseen.
      if (files < 31) { print "only " files + 0 " files were measured"; failed = 1 }
      printf "coverage: %d files, %d lines, %.1f %% of %d branches\n", files, all_lines,
             100 * seen_branches / all_branches, all_branches
      exit failed
    }' tests/coverage/limits.txt -
