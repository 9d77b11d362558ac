#!/bin/sh
# Each public header and each kernel header compiles alone. Needs no build folder. (kernels/cuda
# wants a CUDA toolkit; its headers are small and compiled with their users.)
set -eu
cd "$(dirname "$0")/.."
status=0
list=$(find include kernels -name '*.h' -not -path 'kernels/cuda/*' | sort)
jobs=$(nproc)
echo "$list" | xargs -P "$jobs" -I{} sh -c \
  'echo "#include \"{}\"" | "${CXX:-c++}" -std=c++20 -fsyntax-only -Wall -Wextra -Werror -I. -Iinclude -x c++ - || { echo "{} does not compile alone"; exit 255; }' || status=1
[ $status -eq 0 ] && echo "$(echo "$list" | wc -l) headers compile alone"
exit $status
