#!/bin/sh
# A room may include only rooms to its left (docs/architecture.md). Prints each violation; exit 1.
set -eu
cd "$(dirname "$0")/.."
status=0
# room: rooms it may include besides itself
check() {
  room=$1
  shift
  allowed="$room"
  for r in "$@"; do allowed="$allowed|$r"; done
  [ -d "include/sing/$room" ] || [ -d "src/$room" ] || return 0
  found=$(grep -rnE '#include "(sing/)?(core|config|backend|tensor|autograd|ops|nn|optim|data|metrics|train|apps)/' \
      "include/sing/$room" "src/$room" 2>/dev/null |
    grep -vE "#include \"(sing/)?($allowed)/" || true)
  if [ -n "$found" ]; then
    echo "$room includes rooms to its right (allowed: $*):"
    echo "$found"
    status=1
  fi
}
check core
check config core
check backend core config
check tensor core config backend
check autograd core config backend tensor
check ops core config backend tensor autograd
check nn core config backend tensor autograd ops
check optim core config backend tensor autograd ops nn
check data core config backend tensor autograd ops nn
check metrics core config backend tensor autograd ops nn data
check train core config backend tensor autograd ops nn optim data metrics
check apps core config backend tensor autograd ops nn optim data metrics train
# Kernel headers know core and the slot only, so that device code can include them; device code
# itself is a part of the backend.
found=$(grep -nE '#include "sing/' kernels/*.h | grep -vE '"sing/(core/|backend/kernel_slot.h)' || true)
found="$found$(grep -rnE '#include "sing/' kernels/cuda | grep -vE '"sing/(core|backend)/' || true)"
if [ -n "$found" ]; then
  echo "kernels/ may include sing/core and sing/backend/kernel_slot.h only (kernels/cuda: sing/backend):"
  echo "$found"
  status=1
fi
exit $status
