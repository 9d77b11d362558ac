#!/bin/bash
# Everything that only a GPU can show, on a host with one, offline: gpu_check.sh [OPTIONS] [STAGE...]
# Without a stage: all but `long`. Each has a time limit; one that fails does not stop the others,
# and the script then ends with code 1. Prints what it does and saves it below
# benchmarks/results/<card>/: one JSON and one log per stage, and summary.json.
#
#   build      the program, the backend, tests and benchmarks, from Debian packages unpacked beside
#   machine    card, driver, clocks, versions
#   ceilings   copy, bf16 and f32 product
#   ops        every op against the CPU reference, f32 and bf16
#   optim      every optimizer against the CPU's
#   train      a ViT and a residual network, 200 steps on both devices
#   memcheck   ops under compute-sanitizer's memcheck     racecheck   and under its racecheck
#   resume     the same bits after a resume, and in two runs
#   bench      B1-B4 (ops) and B5 (optimizers)            step        whole ViT-S steps
#   peers      ViT-S beside PyTorch, eager and compiled
#   long       configs/rde_vit_s.yaml, 100 epochs, and its AdamW twin
#
#   --fetch        on a Debian 12 machine: packages into gpu-debs/ (git-ignored), to be carried along
#   --build DIR    build folder                                                        [build-gpu]
#   --out DIR      results here instead
#   --minutes N    for each run of `long`                                              [30]
#   --emulated     a rehearsal without a GPU, on the backend of the tests: little work, results
#                  thrown away unless --out is given
set -u
cd "$(dirname "$0")/.."
root=$PWD build=build-gpu out="" emulated="" minutes=30
stages=()
packages="libdnnl-dev libdnnl2 libeigen3-dev libyaml-cpp-dev libyaml-cpp0.7 libspdlog-dev libspdlog1.10
  libfmt-dev libfmt9 libgtest-dev libgmock-dev libbenchmark-dev libbenchmark1debian nlohmann-json3-dev
  libpng-dev libpng16-16 zlib1g-dev ocl-icd-libopencl1 ocl-icd-opencl-dev opencl-c-headers
  opencl-clhpp-headers libgomp1"
all="build machine ceilings ops optim train memcheck racecheck resume bench step peers long"
usage() { sed -n '2,/^set -u/{/^set -u/d;s/^# \{0,1\}//p}' "$0"; }
while [ $# -gt 0 ]; do
  case $1 in
    --fetch)
      mkdir -p gpu-debs && cd gpu-debs || exit 1
      # shellcheck disable=SC2086
      apt-get download $packages || exit 1
      echo "gpu_check: $(ls ./*.deb | wc -l) packages in gpu-debs/ ($(du -sh . | cut -f1))"
      exit 0
      ;;
    --build | --out | --minutes)
      [ $# -gt 1 ] || { usage; exit 2; }
      case $1 in --build) build=$2 ;; --out) out=$2 ;; *) minutes=$2 ;; esac
      shift
      ;;
    --emulated) emulated=1 ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "gpu_check: unknown option $1" >&2; exit 2 ;;
    *)
      case " $all " in *" $1 "*) stages+=("$1") ;; *) echo "gpu_check: unknown stage $1; there are: $all" >&2; exit 2 ;; esac
      ;;
  esac
  shift
done
[ ${#stages[@]} -gt 0 ] || read -ra stages <<<"${all% long}"

# --- where things are ----------------------------------------------------------------------------
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "$emulated" ]; then
  [ "$build" = build-gpu ] && build=build
  card=emulated
  out=${out:-$work/results}
  plugin=$root/$build/tests/plugins/libsing_cuda_emulated.so
else
  command -v nvidia-smi >/dev/null && card=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1)
  [ "${card:-}" ] || { echo "gpu_check: no GPU answers here (nvidia-smi); --emulated rehearses without one" >&2; exit 2; }
  card=$(echo "$card" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9-')
  out=${out:-benchmarks/results/$card}
  plugin=$root/$build/libsing_cuda.so
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
arguments=(--build "$build" --out "$out" --minutes "$minutes" ${emulated:+--emulated})
export SING_BACKEND_PATH=$plugin

# cuDNN and cuBLASLt: beside the toolkit, or in the packages that PyTorch brings.
first_folder_with() {  # file name, folders...
  local name=$1 folder
  shift
  for folder in "$@"; do
    [ -e "$folder/$name" ] && { echo "$folder"; return; }
  done
}
site=$(python3 -c 'import nvidia, os; print(os.path.dirname(list(nvidia.__path__)[0] + "/"))' 2>/dev/null || true)
toolkit=${CUDA_HOME:-/usr/local/cuda}
cudnn=$(first_folder_with libcudnn.so.9 ${CUDNN_ROOT:+"$CUDNN_ROOT/lib" "$CUDNN_ROOT/lib64"} "$toolkit/lib64" \
  /usr/local/lib64 /usr/lib/x86_64-linux-gnu ${site:+"$site/cudnn/lib"})
cublas=$(first_folder_with libcublasLt.so.13 "$toolkit/lib64" ${site:+"$site/cu13/lib" "$site/cublas/lib"})
deps=$root/$build-deps
libraries=$deps/usr/lib/x86_64-linux-gnu
if [ -d "$libraries" ]; then
  export LD_LIBRARY_PATH=$libraries:${cudnn:+$cudnn:}${cublas:+$cublas:}${LD_LIBRARY_PATH:-}
fi

say() { echo "gpu_check: $*"; }
text_json() { printf '"%s"' "$(printf '%s' "$1" | tr '\n\t' '  ' | sed 's/[\\"]/\\&/g')"; }
fast() { [ "$emulated" ] && echo "$1" || echo "$2"; }  # emulated value, real value

# --- stages ----------------------------------------------------------------------------------------
stage_build() {
  if [ "$emulated" ]; then
    cmake -S . -B "$build" -DSING_BUILD_BENCHMARKS=ON >/dev/null || return 1
    cmake --build "$build" --target sing_program sing_cuda_emulated test_cuda benchmarks
    return
  fi
  local prefix=()
  if ! pkg-config --exists spdlog yaml-cpp 2>/dev/null || [ -d gpu-debs ]; then
    [ -d gpu-debs ] || { echo "the Debian packages are missing: --fetch on a Debian 12 machine"; return 1; }
    if [ ! -d "$libraries" ]; then
      # Never over /: they are another system's. Its own libgomp is the better one.
      for file in gpu-debs/*.deb; do
        case $file in *libgomp1*) ldconfig -p | grep -q libgomp.so.1 && continue ;; esac
        dpkg -x "$file" "$deps" || return 1
      done
      export LD_LIBRARY_PATH=$libraries:${cudnn:+$cudnn:}${cublas:+$cublas:}${LD_LIBRARY_PATH:-}
    fi
    prefix=("-DCMAKE_PREFIX_PATH=$deps/usr" -DCMAKE_LIBRARY_ARCHITECTURE=x86_64-linux-gnu)
  fi
  command -v ninja >/dev/null && export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
  cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DSING_CUDA=ON -DSING_BUILD_BENCHMARKS=ON \
    -DSING_WERROR=OFF -DCMAKE_CUDA_ARCHITECTURES="${CMAKE_CUDA_ARCHITECTURES:-90-real}" \
    ${cudnn:+"-DCUDNN_ROOT=$(dirname "$cudnn")" "-DCUDNN_LIBRARY=$cudnn/libcudnn.so.9"} \
    "-DSING_CUDA_RPATH=$cudnn;$cublas" "${prefix[@]}" || return 1
  cmake --build "$build" -j "$(nproc)" --target sing_program sing_cuda test_cuda benchmarks
}

stage_machine() {
  local driver="" clocks="" memory=""
  if [ ! "$emulated" ]; then
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -1)
    memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader | head -1)
    clocks=$(nvidia-smi --query-gpu=clocks.sm,clocks.mem,clocks.max.sm,clocks_throttle_reasons.active --format=csv,noheader | head -1)
  fi
  {
    printf '{\n  "card": %s,\n  "driver": %s,\n  "memory": %s,\n' "$(text_json "$card")" "$(text_json "$driver")" "$(text_json "$memory")"
    printf '  "clocks_sm_mem_max_throttle": %s,\n' "$(text_json "$clocks")"
    printf '  "nvcc": %s,\n' "$(text_json "$(PATH=$PATH:$toolkit/bin nvcc --version 2>/dev/null | tail -2 | head -1)")"
    printf '  "cudnn": %s,\n  "cublaslt": %s,\n' "$(text_json "$(readlink -f "$cudnn/libcudnn.so.9" 2>/dev/null)")" \
      "$(text_json "$(readlink -f "$cublas/libcublasLt.so.13" 2>/dev/null)")"
    printf '  "torch": %s,\n' "$(text_json "$(python3 -c 'import torch; print(torch.__version__, torch.version.cuda, torch.backends.cudnn.version())' 2>/dev/null)")"
    printf '  "compiler": %s,\n  "libc": %s,\n' "$(text_json "$(c++ --version 2>/dev/null | head -1)")" "$(text_json "$(getconf GNU_LIBC_VERSION)")"
    printf '  "processors": %s,\n  "doctor": ' "$(nproc)"
    "$build/sing" doctor --json
    printf '}\n'
  } >"$out/machine.json" || return 1
  cat "$out/machine.json"
  grep -q '"cuda": "not usable' "$out/machine.json" && { echo "the backend says why above"; return 1; }
  return 0
}

stage_ceilings() { "$build/benchmarks/bench_ceilings" --device cuda --seconds "$(fast 0 1)" --json "$out/ceilings.json"; }

battery() {  # name of the JSON, filter, wrapper...
  local name=$1 filter=$2
  shift 2
  "$@" "$build/tests/test_cuda" --gtest_brief=1 --gtest_filter="$filter" --gtest_output=json:"$out/$name.json" || return 1
  grep -q '"tests": 0,' "$out/$name.json" || return 0
  echo "no test has the name $filter"
  return 1
}
# Tests of the emulator say nothing about a card.
stage_ops() { battery ops "$(fast 'OpCase/add.*:OpCase/sum.*:OpCase/relu.*' '*-*mulator*:*BrokenRule*:*CudaHosts*:*CudaOptimizer*')"; }
stage_optim() { battery optim "$(fast 'CudaOptimizer.*' '*CudaHosts*:*CudaOptimizer*')"; }
sanitizer() {
  local tool shard shards=8 pids=() ok=0
  [ "$emulated" ] && { echo "left out: the emulator is its own checker"; return 0; }
  tool=$(command -v compute-sanitizer || ls "$toolkit"/bin/compute-sanitizer "$toolkit"/compute-sanitizer/compute-sanitizer 2>/dev/null | head -1)
  [ "$tool" ] || { echo "there is no compute-sanitizer here"; return 1; }
  # Each tensor an allocation of its own, so that its end is known. Several processes share the card.
  export SING_CUDA_CACHE=off GTEST_TOTAL_SHARDS=$shards
  for ((shard = 0; shard < shards; ++shard)); do
    GTEST_SHARD_INDEX=$shard battery "$1-$shard" 'OpCase/*' "$tool" --tool "$1" --error-exitcode 9 --print-limit 20 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || ok=1; done
  return $ok
}
stage_memcheck() { sanitizer memcheck; }
stage_racecheck() { sanitizer racecheck; }

# A rehearsal is about the script: hardly any work.
small="data.batch_size=2 data.train_size=16 data.test_size=2 model.depth=1 model.dim=16 model.num_heads=1"
train_run() {  # name, config, steps, device, more...
  local name=$1 config=$2 steps=$3 device=$4
  shift 4
  "$build/sing-train" -q -c "$config" -o "$work/runs" -n "$name" --max-steps "$steps" --device "$device" \
    log.every=1st log.samples=0 eval.every=100000st checkpoint.every="$steps"st "$@" >"$work/$name.log" 2>&1 ||
    { cat "$work/$name.log"; return 1; }
  grep -q "device=\"$device" "$work/runs/$name/latest/log.txt" || { echo "$name did not run on $device"; return 1; }
}
losses() { sed -n 's/.*"step":\([0-9]*\),.*"train\/loss":\([^,}]*\).*/\1 \2/p' "$work/runs/$1/latest/metrics.jsonl"; }
# Steps are logged in f32 on both sides: the first ten may differ by rounding only, later ones by what
# rounding grows to; the mean of the last fifth has to agree.
agree() {  # name of both runs, steps
  local name=$1
  paste -d' ' <(losses "$name-cpu") <(losses "$name-cuda") | awk -v name="$name" -v steps="$2" '
    NF == 4 && $1 == $3 { d = ($2 - $4) / ($2 == 0 ? 1 : $2); d = d < 0 ? -d : d; ++n
      if ($1 <= 10 && d > first) first = d
      if ($1 > 0.8 * steps) { a += $2; b += $4 } }
    END { last = a > 0 ? (a - b) / a : 1; last = last < 0 ? -last : last
      ok = n >= 0.9 * steps && first < 1e-3 && last < 0.05
      printf "{\"net\": \"%s\", \"steps\": %d, \"first_ten_differ\": %.2e, \"last_fifth_differs\": %.2e, \"ok\": %s}\n",
        name, n, first, last, ok ? "true" : "false"
      exit !ok }'
}
conv_config() {
  cat >"$work/conv.yaml" <<'YAML'
version: 1
model: {name: resnet18}
data: {name: synthetic_images, batch_size: 32}
loss: {name: cross_entropy}
optimizer: {transforms: [sing], host: {name: sgd, lr: 1e-2, momentum: 0.9}}
train: {duration: 1000st, precision: f32}
eval: {metrics: [accuracy]}
YAML
}
stage_train() {
  local steps ok=0 pair
  steps=$(fast 3 200)
  conv_config
  : >"$out/train.json"
  for pair in "vit configs/quickstart.yaml" "conv $work/conv.yaml"; do
    # shellcheck disable=SC2086
    set -- $pair
    [ "$emulated" ] && [ "$1" = conv ] && continue  # minutes on emulated threads
    for device in cpu cuda; do
      # shellcheck disable=SC2046
      train_run "$1-$device" "$2" "$steps" "$device" $(fast "$small" data.batch_size=32) || return 1
    done
    agree "$1" "$steps" | tee -a "$out/train.json"
    [ "${PIPESTATUS[0]}" -eq 0 ] || ok=1
  done
  return $ok
}

weights() { (cd "$work/runs/$1/latest/checkpoints/last" && cat model.safetensors optimizer.safetensors | sha256sum | cut -c1-16); }
stage_resume() {
  local half whole size
  half=$(fast 2 30) whole=$(fast 4 60)
  read -ra size <<<"$(fast "$small" data.batch_size=32)"
  train_run straight configs/quickstart.yaml "$whole" cuda "${size[@]}" || return 1
  train_run again configs/quickstart.yaml "$whole" cuda "${size[@]}" || return 1
  train_run resumed configs/quickstart.yaml "$half" cuda "${size[@]}" || return 1
  # The same command again goes on where it was.
  train_run resumed configs/quickstart.yaml "$whole" cuda "${size[@]}" || return 1
  printf '{"straight": "%s", "again": "%s", "resumed": "%s"}\n' "$(weights straight)" "$(weights again)" "$(weights resumed)" |
    tee "$out/resume.json"
  [ "$(weights straight)" = "$(weights again)" ] || { echo "two equal runs differ"; return 1; }
  [ "$(weights straight)" = "$(weights resumed)" ] || { echo "a resumed run differs"; return 1; }
}

stage_bench() {
  local ok=0
  "$build/benchmarks/bench_ops" --device cuda --benchmark_out="$out/ops_speed.json" --benchmark_out_format=json \
    $(fast --tiny "") --benchmark_min_time="$(fast 0.001 0.1)" || ok=1
  # Exact GELU in cuDNN's products: the log has the time of each engine, the rows have the fastest.
  SING_LOG=info SING_CUDA_GELU=auto SING_CUDA_PLANS="$work/gelu_plans.json" "$build/benchmarks/bench_ops" --device cuda \
    --benchmark_out="$out/ops_speed_gelu.json" --benchmark_out_format=json --benchmark_filter=gelu \
    $(fast --tiny "") --benchmark_min_time="$(fast 0.001 0.1)" || ok=1
  # What follows a product by own kernels instead of cuBLASLt: the rows to compare with the first run.
  SING_CUDA_EPILOGUES=off "$build/benchmarks/bench_ops" --device cuda --benchmark_out="$out/ops_speed_own_epilogues.json" \
    --benchmark_out_format=json --benchmark_filter="linear|feed_forward" \
    $(fast --tiny "") --benchmark_min_time="$(fast 0.001 0.1)" || ok=1
  "$build/benchmarks/bench_optimizer" --device cuda --json "$out/optimizer_speed.json" \
    $(fast "--sizes resnet18 --seconds 0 adamw" "--seconds 0.3") || ok=1
  return $ok
}
stage_step() {
  local options
  for options in "--bf16 --no-graph" "--bf16 --graph" "--bf16 --graph --optimizer adamw" "--graph"; do
    # shellcheck disable=SC2086
    "$build/benchmarks/bench_step" $(fast quickstart vit_s) --device cuda --batch "$(fast 1 512)" --seconds "$(fast 0 3)" \
      $options
  done | tee "$work/steps"
  grep '^{' "$work/steps" >"$out/step.json"
  [ "$(wc -l <"$out/step.json")" -eq 4 ]  # one for each that did not fail
}
stage_peers() {
  [ "$emulated" ] && { echo "left out: there is nothing to compare with"; return 0; }
  python3 benchmarks/side_by_side.py --build "$build" --device cuda --bf16 --rounds 5 --block-seconds 1 \
    --json "$out/peers.json" vit_s optimizer
}
stage_long() {
  [ "$emulated" ] && { echo "left out: hours on emulated threads"; return 0; }
  local config ok=0
  for config in rde_vit_s rde_vit_s_adamw; do
    local start=$SECONDS
    timeout "${minutes}m" "$build/sing-train" -c configs/$config.yaml -o "$out/../runs-$card" --device cuda || ok=1
    cp "$out/../runs-$card/$config/latest/summary.json" "$out/$config.json" || ok=1
    say "$config: $((SECONDS - start)) s"
  done
  return $ok
}

# --- one after the other ---------------------------------------------------------------------------
limit_of() {  # seconds
  case $1 in
    build) echo "$(fast 1800 $((400 + 8000 / $(nproc))))" ;;
    machine | ceilings | optim | resume) echo 60 ;;
    ops | bench | step) echo 90 ;;
    train) echo 150 ;;
    peers) echo 480 ;;  # compiling for PyTorch takes minutes
    memcheck | racecheck) echo 180 ;;
    long) echo $((2 * 60 * minutes + 60)) ;;
  esac
}
if [ "${GPU_CHECK_STAGE:-}" ]; then  # called by itself, below
  "stage_$GPU_CHECK_STAGE"
  exit
fi
started=$SECONDS failed="" summary=""
for stage in "${stages[@]}"; do
  say "=== $stage"
  begin=$SECONDS code=0
  # timeout ends the processes of a stage together.
  GPU_CHECK_STAGE=$stage timeout -k 10 "$(limit_of "$stage")" tools/gpu_check.sh "${arguments[@]}" >"$out/$stage.log" 2>&1 &
  trap 'kill '$!'; exit 130' INT TERM
  wait $! || code=$?
  trap - INT TERM
  tail -n "$([ $code -eq 0 ] && echo 12 || echo 40)" "$out/$stage.log" | sed 's/^/  /'
  result=ok
  [ $code -eq 0 ] || { result=failed; failed="$failed $stage"; }
  [ $code -eq 124 ] && result="over its limit of $(limit_of "$stage") s"
  say "=== $stage: $result, $((SECONDS - begin)) s"
  summary="$summary${summary:+,}
  {\"stage\": \"$stage\", \"result\": \"$result\", \"seconds\": $((SECONDS - begin))}"
done
printf '{"card": "%s", "date": "%s", "stages": [%s\n]}\n' "$card" "$(date -u +%Y-%m-%dT%H:%MZ)" "$summary" >"$out/summary.json"
say "$((SECONDS - started)) s in all; results in $out"
[ ! "$failed" ] || { say "failed:$failed"; exit 1; }
