#!/bin/sh
# From a fresh clone on Debian 12: installs what is missing, builds, trains the quickstart on the
# built-in data, and says where the picture and the curve are. Words after it go to sing-train.
set -eu
cd "$(dirname "$0")/.."
tools/install_dependencies.sh
tools/build.sh default sing_program
exec build/sing-train --config configs/quickstart.yaml "$@"
