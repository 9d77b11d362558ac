#!/bin/sh
# What can be said of the CUDA backend without a GPU: check_cuda.sh [BUILD]. Builds it where the
# toolkit is there (warnings and register spills are errors already while compiling), prints what
# each kernel takes, and checks local memory against tools/cuda_local_memory.txt, the libraries it
# needs, what it exports, and the sentence of a machine without a driver. --table prints every
# kernel, not only the largest of each name.
set -eu
cd "$(dirname "$0")/.."
table=short
[ "${1:-}" = "--table" ] && { table=all; shift; }
build=${1:-build}
if ! grep -q '^CMAKE_CUDA_COMPILER:.*nvcc' "$build/CMakeCache.txt" 2>/dev/null ||
  ! ninja -C "$build" -t query sing_cuda >/dev/null 2>&1; then
  echo "check_cuda: left out, $build builds no CUDA backend (no toolkit or no cuDNN here)"
  exit 0
fi
status=0
fail() {
  echo "check_cuda: $*"
  status=1
}
plugin=$build/libsing_cuda.so

start=$(date +%s)
ninja -C "$build" sing_cuda sing_program >/dev/null || { ninja -C "$build" sing_cuda; exit 1; }
echo "built in $(($(date +%s) - start)) s; slowest files of this backend, seconds:"
# Fields: start, end (ms), time of the file, output. The last line of an output is its last build.
awk '$4 ~ /sing_cuda\.dir/ { t[$4] = ($2 - $1) / 1000 }
     END { for (f in t) { n = split(f, p, "/"); printf "%8.1f  %s\n", t[f], p[n]; sum += t[f] }
           printf "%8.1f  all files together\n", sum }' "$build/.ninja_log" | sort -rn | head -8

# One line per kernel: file, name with its template arguments, registers, barriers, bytes of static
# shared memory, of local memory, of spills.
kernels=$(mktemp)
trap 'rm -rf "$kernels" "$kernels.runs"' EXIT
for report in "$build"/CMakeFiles/sing_cuda.dir/kernels/cuda/*.ptxas; do
  file=$(basename "$report" .cu.o.ptxas)
  # A kernel file that is gone leaves its report behind.
  [ -f "kernels/cuda/$file.cu" ] || continue
  c++filt <"$report" | awk -v file="$file" '
    function number(text, what) {  # "... 380 bytes smem": the number in front of what
      return match(text, "[0-9]+ " what) ? substr(text, RSTART, RLENGTH) + 0 : 0
    }
    # By what stands in the line, since a name with blanks has been written out there.
    /Compiling entry function/ {
      name = $0
      sub(/.*entry function ./, "", name)
      sub(/. for .sm_.*/, "", name)
      gsub(/_GLOBAL__N__[0-9a-zA-Z_]*::|\(anonymous namespace\)::|sing::cuda::|sing::|kernels::/, "", name)
      sub(/^void /, "", name)
      sub(/\([^()]*(\([^()]*\)[^()]*)*\)$/, "", name)  # the parameters
      gsub(/ /, "", name)
    }
    /bytes stack frame/ { frame = number($0, "bytes stack frame"); spills = number($0, "bytes spill stores") + number($0, "bytes spill loads") }
    /Used [0-9]+ registers/ && name != "" {
      shared = number($0, "bytes smem")
      print file, name, number($0, "registers"), shared, frame, spills
      name = ""
    }'
done >"$kernels"
count=$(wc -l <"$kernels")
[ "$count" -gt 0 ] || { fail "no report of ptxas was found in $build"; exit 1; }

echo
echo "$count kernels (largest of each name; 'threads': the most that registers leave for a block)"
printf '%-18s %-44s %9s %7s %7s %6s %6s\n' file kernel registers threads shared local spills
awk -v table=$table '
  { name = $2; if (table == "short") sub(/<.*/, "", name); key = $1 " " name
    if (!(key in registers)) order[++n] = key
    for (i = 3; i <= 6; ++i) if ($i > most[key, i]) most[key, i] = $i
    registers[key] = most[key, 3] }
  END { for (k = 1; k <= n; ++k) { split(order[k], p, " ")
          r = most[order[k], 3]; warps = int(65536 / (32 * (int((r + 7) / 8) * 8))); t = 32 * warps
          printf "%-18s %-44s %9d %7d %7d %6d %6d\n", p[1], p[2], r, (t > 1024 ? 1024 : t),
            most[order[k], 4], most[order[k], 5], most[order[k], 6] } }' "$kernels"
echo

awk '$6 > 0 { print "  " $1 " " $2 ": " $6 " bytes" }' "$kernels" >"$kernels.bad"
[ -s "$kernels.bad" ] && { fail "registers spill:"; cat "$kernels.bad"; }
# Allowed by file and name, for all template arguments.
awk 'FNR == NR { if ($0 !~ /^#/ && NF > 1) allowed[$1 " " $2] = 1; next }
     { name = $2; sub(/<.*/, "", name); used[$1 " " name] += $5
       if ($5 > 0 && !(($1 " " name) in allowed)) print "  " $1 " " $2 ": " $5 " bytes" }
     END { for (a in allowed) if (!used[a]) print "  " a ": is listed, but uses none" }' \
  tools/cuda_local_memory.txt "$kernels" >"$kernels.bad"
[ -s "$kernels.bad" ] && { fail "local memory (tools/cuda_local_memory.txt):"; cat "$kernels.bad"; }
rm -f "$kernels.bad"

# Only what is meant to be needed: a driver library would keep the plugin from loading anywhere else.
needed=$(readelf -d "$plugin" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
for library in $needed; do
  case $library in
    libsing.so.* | libcudnn.so.* | libcublasLt.so.* | libstdc++.so.* | libm.so.* | libgcc_s.so.* | libc.so.* | ld-linux-x86-64.so.*) ;;
    *) fail "$plugin needs $library, which is not among the intended libraries" ;;
  esac
done
for library in libsing.so libcudnn.so libcublasLt.so; do
  # A linker leaves out what no code uses.
  [ $library = libcublasLt.so ] && ! grep -rq cublasLtCreate src/backend/cuda && continue
  echo "$needed" | grep -q "^$library" || fail "$plugin does not need $library"
done
exported=$(nm -D --defined-only "$plugin" | awk '{ print $3 }')
[ "$exported" = sing_backend_entry ] ||
  fail "$plugin exports more than sing_backend_entry: $(echo "$exported" | head -5 | tr '\n' ' ')"
for program in "$build/sing" "$build/libsing.so" "$build/libsing_train.so"; do
  readelf -d "$program" | grep -E 'NEEDED.*(libcuda|libcudnn|libcublas|libnvrtc)' &&
    fail "$program needs CUDA itself"
done

if [ ! -e /dev/nvidiactl ]; then
  said=$("$build/sing" doctor | sed -n 's/^cuda  *//p')
  [ "$said" = "not usable: cuda:0 is not usable: no NVIDIA driver is installed" ] ||
    fail "sing doctor says of CUDA: '$said'"
  code=0
  said=$("$build/sing-train" --config configs/quickstart.yaml --device cuda -o "$kernels.runs" 2>&1) || code=$?
  [ "$code" -eq 2 ] || fail "--device cuda without a driver ends with code $code, not 2"
  echo "$said" | grep -q 'no NVIDIA driver is installed' || fail "--device cuda says: $said"
fi
[ "$status" -eq 0 ] && echo "check_cuda: $count kernels, no spills; libraries, exports and the sentence without a driver are as they should be"
exit "$status"
