#!/bin/sh
# Configures and builds a preset (default: default) into its build folder.
set -eu
cd "$(dirname "$0")/.."
preset=${1:-default}
[ $# -gt 0 ] && shift
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -- "$@" 
