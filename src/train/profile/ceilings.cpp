#include <algorithm>

#include "sing/autograd/tape.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/core/random.h"
#include "sing/ops/linear.h"
#include "train/profile/report.h"

namespace sing::train {
namespace {

constexpr double kLongEnough = 4e-3;  // seconds; beside it starting a kernel does not count

/// The shortest of a few runs, in seconds of the device.
template <class Work>
double best_time(Device device, const Work& work) {
  backend::DeviceRuntime& runtime = backend::runtime(device);
  const auto before = runtime.mark(true), after = runtime.mark(true);
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    before->record(runtime.stream(0));
    work();
    after->record(runtime.stream(0));
    before->wait();
    after->wait();
    best = std::min(best, after->seconds_since(*before));
  }
  return best;
}

double copy_rate(Device device, int64_t most) {
  double rate = 0;
  for (int64_t bytes = 1 << 20; bytes <= most; bytes *= 2) {
    const Tensor from = Tensor::zeros({bytes / 4}, {.device = device});
    Tensor to = Tensor::zeros({bytes / 4}, {.device = device});
    const double seconds = best_time(device, [&] { to.copy_from(from); });
    if (seconds > 0) rate = 2 * static_cast<double>(bytes) / seconds;
    if (seconds > kLongEnough / 4) break;
  }
  return rate;
}

/// Random numbers: zeros draw less power and run faster.
Tensor random_matrix(int64_t n, DType dtype, Device device, uint64_t which) {
  constexpr int64_t kDifferent = 4096;
  std::vector<float> values(static_cast<size_t>(std::min(n * n, kDifferent)));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random_normal({which, Purpose::test, 0, 0}, i));
  const auto count = static_cast<int64_t>(values.size());
  const Tensor row = Tensor::from(values, {1, count}).to(dtype).to(device);
  return row.expand({n * n / count, count}).contiguous().view({n, n});
}

double product_rate(Device device, DType dtype) {
  double rate = 0;
  for (int64_t n = 64; n <= 8192; n *= 2) {
    const Tensor a = random_matrix(n, dtype, device, 1), b = random_matrix(n, dtype, device, 2);
    const double seconds = best_time(device, [&] { ops::linear(a, b); });
    const double flops =
        2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    if (seconds > 0) rate = std::max(rate, flops / seconds);
    if (seconds > kLongEnough) break;
  }
  return rate;
}

}  // namespace

Ceilings measure_ceilings(Device device, DType dtype) {
  const autograd::NoGradGuard no_grad;
  Ceilings ceilings;
  ceilings.dtype = std::string(name_of(dtype));
  try {
    const int64_t room = backend::runtime(device).capacity();
    const int64_t most = room > 0 ? std::min<int64_t>(room / 32, int64_t{1} << 30) : 1 << 28;
    ceilings.copy = copy_rate(device, most);
    ceilings.product = product_rate(device, dtype);
  } catch (const OutOfMemoryError&) {
    // What was measured by then is what there is: a profile must not end a run.
  }
  return ceilings;
}

}  // namespace sing::train
