#!/bin/sh
# From a fresh clone on Debian 12: installs what is missing, builds and runs all tests.
set -eu
cd "$(dirname "$0")/.."
tools/install_dependencies.sh
tools/build.sh default
ctest --test-dir build --output-on-failure -j "$(nproc)"
