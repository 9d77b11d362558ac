#!/bin/bash
# Trains configs/host_sweep.yaml with every host, alone and with SING, at a few rates each, and
# writes the table of docs/hosts.md: host_sweep.sh [options] [HOST...]
#   -b DIR   build folder with the `sing` program   [build]
#   -j N     runs at once, one thread each           [number of processors]
#   -n N     steps of a run                          [1500]
#   -o DIR   run folders and results; runs that are there already are not made again [runs/host_sweep]
#   -w FILE  the page to write                       [OUT/hosts.md]
# The rate is chosen by the loss on the validation split; the table shows the test split.
set -eu
cd "$(dirname "$0")/.."
build=build jobs=$(nproc) steps=1500 out=runs/host_sweep page=""
while getopts b:j:n:o:w: flag; do
  case $flag in
    b) build=$OPTARG ;;
    j) jobs=$OPTARG ;;
    n) steps=$OPTARG ;;
    o) out=$OPTARG ;;
    w) page=$OPTARG ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
page=${page:-$out/hosts.md}
mkdir -p "$out"

# Rates alone, rates with SING, and further options: three rates for each, half a decade apart, about
# what is usual for the host. With softplus SING wants rates ten times higher (the authors' advice).
settings() {
  usual="1e-3 3e-3 1e-2" high="2e-2 5e-2 1e-1"
  alone=$usual with_sing=$usual options="" sing_options="" lookahead="{every: 5, alpha: 0.5}"
  schedule="{name: cosine, warmup: 5%}"
  case $1 in
    adam | adamw) with_sing=$high sing_options=", softplus_beta: 50" ;;
    adabelief) with_sing=$high sing_options=", softplus_beta: 50" ;;
    sgd) alone="1e-2 3e-2 1e-1" with_sing="5e-3 2e-2 5e-2" options=", momentum: 0.9" ;;
    ngd) alone="1e-2 3e-2 1e-1" with_sing="1e-2 3e-2 1e-1" options=", momentum: 0.9" ;;
    eadam) with_sing="3e-3 1e-2 3e-2" ;;
    yogi | adamod) alone="3e-3 1e-2 3e-2" with_sing="3e-3 1e-2 3e-2" ;;
    sadam) alone="1e-2 3e-2 1e-1" with_sing=$high ;;
    lion) alone="1e-4 3e-4 1e-3" with_sing="1e-4 3e-4 1e-3" ;;
    adafactor) options=", relative_step: false, scale_parameter: false" ;;
    lamb)
      alone="3e-3 1e-2 3e-2" with_sing="3e-3 1e-2 3e-2"
      options=", always_adapt: true" sing_options=", max_grad_norm: null"
      ;;
    lars)
      # A gradient of length one needs no shrinking; biases, which start at zero, step by the rate.
      alone="0.3 1 3" with_sing="3e-3 1e-2 3e-2" sing_options=", trust_coefficient: 1"
      options=", momentum: 0.9, always_adapt: true"
      ;;
    muon) alone="5e-3 2e-2 5e-2" with_sing="5e-3 2e-2 5e-2" ;;
    schedulefree_adamw)
      options=", warmup_steps: $((steps / 20))" lookahead=null schedule=constant
      ;;
  esac
}

# One run: HOST alone|sing RATE
one() {
  settings "$1"
  name=$1-$2-$3-$steps
  [ ! -s "$out/$name.result" ] || return 0
  transforms="[]" more=$options after=null
  [ "$2" = alone ] || { transforms="[sing]" more=$options$sing_options after=$lookahead; }
  code=0
  "$build/sing-train" -q -c configs/host_sweep.yaml -o "$out/runs" -n "$name" --resume never \
    train.duration="${steps}st" eval.every="${steps}st" checkpoint.every="${steps}st" \
    optimizer.transforms="$transforms" optimizer.lookahead="$after" optimizer.schedule="$schedule" \
    optimizer.host="{name: $1, lr: $3, weight_decay: 0$more}" >"$out/$name.log" 2>&1 || code=$?
  case $code in
    0) loss=$(sed -n 's/.*"eval\/val\/mse": \([^,]*\),\{0,1\}$/\1/p' "$out/runs/$name/latest/summary.json" | head -1) ;;
    5) loss=diverged ;;
    *) echo "host_sweep: $name ended with code $code" >&2; cat "$out/$name.log" >&2; exit 255 ;;
  esac
  echo "$1 $2 $3 $loss" >"$out/$name.result"
  echo "$1 $2 $3: validation loss $loss"
}
if [ "${HOST_SWEEP_ONE:-}" ]; then
  one "$@"
  exit
fi

[ $# -gt 0 ] || set -- $("$build/sing" ls optimizers | sed -n 's/^  \([a-z_]*\) .*/\1/p')
start=$SECONDS
for host in "$@"; do
  settings "$host"
  for rate in $alone; do echo "$host alone $rate"; done
  for rate in $with_sing; do echo "$host sing $rate"; done
done | HOST_SWEEP_ONE=1 xargs -P "$jobs" -L 1 "$0" -b "$build" -n "$steps" -o "$out"

# "accuracy | rectangles | loss e-3 | rate" of the best run of a host.
best() {
  line=$(cat "$out/$1-$2"-*-"$steps.result" | grep -v diverged | sort -g -k4 | head -1)
  [ "$line" ] || { echo "diverged | | |"; return; }
  rate=$(echo "$line" | cut -d' ' -f3)
  "$build/sing-eval" --json "$out/runs/$1-$2-$rate-$steps/latest" --split test 2>/dev/null |
    tr -d '\n' | sed -n "s/.*depth_accuracy\": *\([0-9.e-]*\).*rectangle_accuracy\": *\([0-9.e-]*\).*mse\": *\([0-9.e-]*\).*/\1 \2 \3/p" |
    awk -v rate="$rate" '{printf "%.1f %% | %.1f %% | %.2f | %s", 100*$1, 100*$2, 1000*$3, rate}'
}

{
  cat <<TEXT
# Hosts with and without SING on the quickstart's data

Written by \`tools/host_sweep.sh\`; do not edit. The network and the data are the quickstart's, cut
down: patches of 6 pixels, batches of 16, $steps steps, no weight decay (\`configs/host_sweep.yaml\`).
Every row had the same budget: three rates alone and three with SING, one seed. The rate with
the lowest loss on 1,024 validation pictures was kept; figures are from 1,024 test pictures, whose
noise alone is about 1.4 points of accuracy.

"With SING" is \`transforms: [sing]\` and LookAhead 5/0.5; Adam, AdamW and AdaBelief also get
softplus, as published; LAMB loses its clipping and LARS its trust coefficient of 1e-3, which a
gradient of length one does not need. Schedule-Free has no schedule and no LookAhead. "Pictures"
counts those in which every rectangle has the right depth, "rectangles" counts single ones; the loss
is in 1e-3.

| host | pictures alone | rectangles | loss | lr | pictures with SING | rectangles | loss | lr |
|---|---|---|---|---|---|---|---|---|
TEXT
  for host in "$@"; do echo "| $host | $(best "$host" alone) | $(best "$host" sing) |"; done
  runs=$(find "$out" -maxdepth 1 -name "*-$steps.result" | wc -l)
  cat <<TEXT

This is a small network for a short time: it says which hosts work with SING and which do not, and
nothing about long runs of large networks. Three rates are a coarse search: a difference of a few
points is within the noise of seed and rate.

Made with \`tools/host_sweep.sh -n $steps -w docs/hosts.md\`: $runs runs.
TEXT
} >"$page.new"
mv "$page.new" "$page"
echo "host_sweep: $page written after $((SECONDS - start)) s"
