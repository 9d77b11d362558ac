#!/bin/sh
# What SING is to somebody else's program (tests/install): installed as shared and as static
# libraries, found by find_package and by pkg-config, and as a folder of their own tree. Each time
# the program is built and trains. Leaves build/ and build-static/ as build folders of this tree.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
# Beside the other build folders: the compiler cache knows files by their place relative to it.
inside=$root/build-inside
trap 'rm -rf "$work" "$inside"' EXIT
jobs=$(nproc)
export CMAKE_GENERATOR="${CMAKE_GENERATOR:-Ninja}" CMAKE_BUILD_PARALLEL_LEVEL="$jobs"

say() { echo "== $*"; }
outside() {  # build folder, cmake arguments...: builds the outside project and runs it
  folder=$1
  shift
  cmake -S "$root/tests/install" -B "$folder" "$@" >"$work/log" 2>&1 ||
    { cat "$work/log"; return 1; }
  cmake --build "$folder" >"$work/log" 2>&1 || { tail -40 "$work/log"; return 1; }
  "$folder/train_core"
  "$folder/train_config"
}

for kind in shared static; do
  build=build
  [ $kind = static ] && build=build-static
  say "$kind libraries, installed"
  flag=ON
  [ $kind = static ] && flag=OFF
  # A build folder that is already there keeps its settings.
  [ -f $build/CMakeCache.txt ] ||
    cmake -S . -B $build -DBUILD_SHARED_LIBS=$flag -DSING_BUILD_TESTS=OFF >"$work/log"
  targets="sing sing_train"
  for target in sing_program sing_cuda; do
    cmake --build $build --target help 2>&1 | grep -q "$target" && targets="$targets $target"
  done
  # shellcheck disable=SC2086
  cmake --build $build --target $targets >"$work/log" 2>&1 || { tail -40 "$work/log"; exit 1; }
  cmake --install $build --prefix "$work/prefix-$kind" >"$work/log"
  # The tree is moved once, to see that nothing in it holds the old place.
  mv "$work/prefix-$kind" "$work/moved-$kind"
  say "$kind: find_package"
  outside "$work/find-$kind" -DCMAKE_PREFIX_PATH="$work/moved-$kind"
  say "$kind: pkg-config"
  pc=$(find "$work/moved-$kind" -name sing.pc)
  PKG_CONFIG_PATH=$(dirname "$pc")
  export PKG_CONFIG_PATH
  # shellcheck disable=SC2046
  "${CXX:-c++}" -std=c++20 tests/install/train_core.cpp -o "$work/by-pkg-config" \
    $(pkg-config --cflags --libs sing)
  LD_LIBRARY_PATH=$(pkg-config --variable=libdir sing) "$work/by-pkg-config"
  if [ -x "$work/moved-$kind/bin/sing" ]; then
    say "$kind: the installed program"
    "$work/moved-$kind/bin/sing-train" --version
  fi
  if [ $kind = shared ] && [ -f $build/libsing_cuda.so ]; then
    say "the CUDA backend lies beside libsing, and the installed program opens it there"
    library=$(find "$work/moved-$kind" -name libsing.so)
    [ -f "$(dirname "$library")/libsing_cuda.so" ] || { echo "libsing_cuda.so was not installed"; exit 1; }
    # Without a driver the sentence is the backend's own; nothing of the loader's must be in it.
    said=$("$work/moved-$kind/bin/sing" doctor | grep '^cuda ')
    case $said in
      *"did not load"* | *"no cuda backend"* | "") echo "$said"; exit 1 ;;
    esac
    echo "$said"
  fi
done

say "as a folder of the user's tree"
launcher=$(command -v ccache || true)
# The flags are those of a build of our own, so that its compiler cache serves this one.
CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 outside "$inside" -DSING_FROM_SOURCE="$root" -DSING_WERROR=ON \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -g1" \
  ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"}
echo "the library serves programs outside in every form"
