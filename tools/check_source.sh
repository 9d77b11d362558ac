#!/bin/sh
# Grep gates: what must not appear in the sources. Prints each violation; exit 1.
set -eu
cd "$(dirname "$0")/.."
status=0
gate() {  # what, pattern, paths...
  what=$1
  pattern=$2
  shift 2
  found=$(git grep -nE "$pattern" -- "$@" || true)
  if [ -n "$found" ]; then
    echo "$what:"
    echo "$found"
    status=1
  fi
}
gate "code is loaded or run outside the plugin loader" '\b(dlopen|popen|system|execv[pe]?|fork) *\(' \
  'src/*.cpp' 'src/*.h' ':!src/backend/plugin.cpp' ':!src/backend/cuda/cudnn/parts.cpp'
gate "a public header includes another library" \
  '#include [<"](Eigen|yaml-cpp|spdlog|fmt|nlohmann|dnnl|oneapi|cuda|png|gtest)' 'include/*.h'
gate "yaml-cpp outside the one reader" '#include [<"]yaml-cpp' 'src/*.cpp' 'src/*.h' ':!src/config/yaml/'
# Written so that the pattern does not match itself.
gate "unfinished work" '\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b' 'src' 'include' 'kernels' 'tests' 'tools'
gate "an abort or exit in the library" '\b(abort|exit|_exit|quick_exit) *\(' 'src/*.cpp' ':!src/apps/' ':!src/train/signals.cpp'
gate "a catch-all that goes on" 'catch \(\.\.\.\) *\{ *\}' 'src' 'include'
gate "a thread_local in the CUDA backend, which the tests' emulator takes for shared memory" \
  '\bthread_local\b' 'kernels/cuda' 'src/backend/cuda'
# So that the registers of a block always suffice, and no launch has more threads than were meant.
found=$(git grep -nE -A1 '__global__ ' -- 'kernels/cuda' 'src/optim/device' |
  awk '/__global__ / { line = $0; open = !/__launch_bounds__\(/; next }
       open { if (!/__launch_bounds__\(/) print line; open = 0 } END { if (open) print line }')
if [ -n "$found" ]; then
  echo "a kernel without __launch_bounds__:"
  echo "$found"
  status=1
fi
exit $status
