#!/bin/sh
# make_mock_libcuda.sh STUB OUT: writes a library with every entry point of the toolkit's stub
# driver (stubs/libcuda.so). Loading and asking for kernels succeeds with a dummy handle, so that
# cuDNN can finalise plans whose engines are compiled at run time; everything that would need a
# device answers CUDA_ERROR_STUB_LIBRARY (34). For the plan check only: never installed, and never
# on the library path of a program that launches anything. OUT must be named libcuda.so.1.
set -eu
stub=$1
out=$2
succeed="cuInit cuLibraryUnload cuModuleUnload cuKernelSetAttribute cuFuncSetAttribute"
give_handle="cuLibraryLoadData cuLibraryGetKernel cuKernelGetFunction cuLibraryGetModule
  cuModuleLoadData cuModuleLoadDataEx cuModuleGetFunction"
give_zero="cuKernelGetAttribute cuFuncGetAttribute"

body_of() {
  case " $(echo $succeed) " in *" $1 "*) echo "int $1(void) { return 0; }" && return ;; esac
  case " $(echo $give_handle) " in
    *" $1 "*) echo "int $1(void** handle) { *handle = &dummy; return 0; }" && return ;;
  esac
  case " $give_zero " in
    *" $1 "*) echo "int $1(int* value) { *value = 0; return 0; }" && return ;;
  esac
  echo "int $1(void) { return 34; }"
}

{
  echo "static int dummy;"
  nm -D --defined-only "$stub" | sed -n 's/^[0-9a-f]* T //p' | sort -u |
    while read -r name; do body_of "$name"; done
} >"$out.c"
"${CC:-cc}" -x c -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$out" "$out.c"
