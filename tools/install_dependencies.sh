#!/bin/sh
# Installs what SING needs from Debian 12's own packages. Asks for nothing that is already there;
# uses sudo only when not root. With --tools also what CI's checks need (clang-format, clang, libFuzzer,
# llvm-cov).
set -eu
packages="g++ cmake ninja-build ccache pkg-config git ca-certificates
  libdnnl-dev ocl-icd-opencl-dev libeigen3-dev libyaml-cpp-dev libspdlog-dev libfmt-dev
  nlohmann-json3-dev libpng-dev zlib1g-dev libgtest-dev libgmock-dev libbenchmark-dev"
[ "${1:-}" = "--tools" ] && packages="$packages clang-14 clang-format-14 libclang-rt-14-dev llvm-14"
missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing" >&2
as_root=""
[ "$(id -u)" -eq 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q >&2
# shellcheck disable=SC2086
$as_root apt-get install -y -q --no-install-recommends $missing >&2
