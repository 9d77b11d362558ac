#!/bin/sh
# Every C++ file is as .clang-format says (clang-format 14, the one of Debian 12; other versions
# differ in details). With --fix it rewrites them.
set -eu
cd "$(dirname "$0")/.."
tool=${CLANG_FORMAT:-clang-format-14}
command -v "$tool" >/dev/null || { echo "$tool is missing: tools/install_dependencies.sh --tools"; exit 1; }
case ${1:-} in
  --fix) mode="-i" ;;
  *) mode="--dry-run --Werror" ;;
esac
# shellcheck disable=SC2086
git ls-files -z '*.h' '*.cpp' '*.cu' | xargs -0 -n 20 -P "$(nproc)" "$tool" $mode ||
  { echo "run tools/check_format.sh --fix"; exit 1; }
