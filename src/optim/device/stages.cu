#include "optim/device/stages.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "optim/stage_math.h"

namespace sing::optim {
namespace {

using cuda::block_reduce;

constexpr int kStageThreads = 256;

struct Least {
  SING_DEVICE int operator()(int a, int b) const { return a < b ? a : b; }
};

/// Norm of all gradients, and the first one that is not finite. Whether the step is made.
SING_DEVICE bool report_norms(const StageLaunch& a) {
  double squares = 0;
  int present = 0, first = INT32_MAX;
  for (int i = static_cast<int>(threadIdx.x); i < a.tensors; i += kStageThreads) {
    const double norm = a.sources[i] != nullptr ? a.numbers[i].raw_norm : 0;
    a.norms[i] = norm;
    squares += norm * norm;
    present += a.sources[i] != nullptr;
    if (!(norm < INFINITY) && i < first) first = i;
  }
  squares = block_reduce(squares, 0.0);
  present = block_reduce(present, 0);
  first = block_reduce(first, INT32_MAX, Least{});
  const bool finite = first == INT32_MAX;
  if (threadIdx.x == 0) {
    a.report->global_norm = std::sqrt(squares);
    a.report->tensors = present;
    a.report->first_nonfinite = finite ? -1 : first;
    a.report->nonfinite = finite ? 0 : 1;
    a.report->applied += finite ? 1 : 0;
  }
  return finite;
}

SING_DEVICE double norm_at(const StageLaunch& a, const DeviceRule& r, int64_t i) {
  return r.centred[i] != 0 ? a.numbers[i].centred_norm : a.numbers[i].raw_norm;
}

__global__ void __launch_bounds__(kStageThreads) stages_kernel(const StageLaunch a) {
  const bool left_out = a.report->nonfinite != 0;
  __syncthreads();  // all have read it before it may change
  if (left_out) return;
  if (a.reports != 0 && !report_norms(a)) return;
  if (a.begins != 0)
    for (int64_t i = threadIdx.x; i < a.tensors; i += kStageThreads) a.maps[i] = {1, 1};
  for (int k = 0; k < a.count; ++k) {
    const DeviceRule& r = a.rules[k];
    double factor = 1;
    if (r.rule.kind == StageRule::Kind::clip_global) {
      double squares = 0;
      for (int64_t i = threadIdx.x; i < a.tensors; i += kStageThreads) {
        if (a.sources[i] == nullptr) continue;
        const double norm = norm_at(a, r, i) * a.maps[i].scale;
        squares += norm * norm;
      }
      factor = clipping_scale(std::sqrt(block_reduce(squares, 0.0)), r.rule.a);
    }
    for (int64_t i = threadIdx.x; i < a.tensors; i += kStageThreads) {
      if (a.sources[i] == nullptr) continue;
      cuda::MapNumbers& map = a.maps[i];
      const double norm = norm_at(a, r, i);
      switch (r.rule.kind) {
        case StageRule::Kind::normalize:
          map.scale = normalizing_scale(norm, r.rule.a);
          break;
        case StageRule::Kind::clip_tensor:
          map.scale *= clipping_scale(norm * map.scale, r.rule.a);
          break;
        case StageRule::Kind::clip_global:
          map.scale *= factor;
          break;
        case StageRule::Kind::adanorm:
          map.first_moment = adanorm_lift(r.numbers[i], norm * map.scale, r.rule.a);
          break;
        case StageRule::Kind::centre:
        case StageRule::Kind::agc:
        case StageRule::Kind::clip_value:
          break;  // in the statistics, launch_agc and where g' is written
      }
    }
  }
}

/// One block per tensor.
__global__ void __launch_bounds__(kStageThreads) agc_kernel(const AgcLaunch a) {
  const int64_t tensor = blockIdx.x;
  if (a.report->nonfinite != 0 || a.sources[tensor] == nullptr) return;
  const cuda::MeasureLayout layout = a.layouts[tensor];
  const double scale = a.maps[tensor].scale;
  const auto n = static_cast<double>(layout.row_length);
  double raw = 0, centred = 0;
  for (int64_t row = threadIdx.x; row < layout.rows; row += kStageThreads) {
    const int64_t at = layout.first_row + row;
    const cuda::RowNumbers numbers = a.rows[at];
    const double whole = std::sqrt(numbers.squares + n * numbers.mean * numbers.mean);
    const double rest = std::sqrt(numbers.squares);
    const double before = a.again != 0 ? a.scales[at] : 1;
    const double length = (a.centred[tensor] != 0 ? rest : whole) * before * scale;
    const cuda::RowNumbers weights = a.weights[at];
    const double weight = std::sqrt(weights.squares + n * weights.mean * weights.mean);
    const double now = before * agc_scale(weight, length, a.clip_factor, a.eps);
    a.scales[at] = now;
    raw += whole * now * (whole * now);
    centred += rest * now * (rest * now);
  }
  raw = block_reduce(raw, 0.0);
  centred = block_reduce(centred, 0.0);
  if (threadIdx.x == 0) a.numbers[tensor] = {std::sqrt(raw), std::sqrt(centred)};
}

}  // namespace

void launch_stages(const StageLaunch& a) {
  cuda::launch(stages_kernel, cuda::Grid{dim3(1), dim3(kStageThreads), 0}, a.stream, a);
}

void launch_agc(const AgcLaunch& a) {
  cuda::launch(agc_kernel,
               cuda::Grid{dim3(static_cast<unsigned>(a.tensors)), dim3(kStageThreads), 0}, a.stream,
               a);
}

}  // namespace sing::optim
