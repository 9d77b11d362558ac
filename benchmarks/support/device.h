#pragma once
// Time on a GPU, by marks in its stream, and what a GPU can do at best. Works on any backend that
// sing::backend::runtime finds.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sing/autograd/tape.h"
#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/nn/init.h"
#include "sing/ops/linear.h"
#include "sing/tensor/tensor.h"

namespace sing::bench {

/// "cpu" or "cuda"; throws DeviceError when it is not usable.
inline Device device_named(const std::string& name) {
  if (name == "cpu") return {};
  const Device device{DeviceType::cuda, 0};
  backend::runtime(device);
  return device;
}

/// Seconds between two marks around what `work` queues.
inline double device_seconds(Device device, const std::function<void()>& work) {
  backend::DeviceRuntime& runtime = backend::runtime(device);
  const Stream stream = runtime.stream(0);
  const auto before = runtime.mark(true), after = runtime.mark(true);
  before->record(stream);
  work();
  after->record(stream);
  after->wait();
  return after->seconds_since(*before);
}

/// The work as a graph that is replayed, or as it is where it cannot be captured: `note` says why.
/// Called once before, so that plans are made and memory is there.
inline std::function<void()> replayed(Device device, const std::function<void()>& work,
                                      std::string* note) {
  backend::DeviceRuntime& runtime = backend::runtime(device);
  work();
  runtime.synchronize(runtime.stream(0));
  try {
    std::shared_ptr<backend::Replay> replay = runtime.capture(work, nullptr);
    return [replay] { replay->launch(); };
  } catch (const Error& error) {
    *note = error.what();
    return work;
  }
}

struct DeviceCeilings {
  double copy = 0;           ///< bytes per second, read + written
  double bf16 = 0, f32 = 0;  ///< floating-point operations per second of a square product
};

/// Random data on a device: zeros draw less power and run faster. Made on the host, so beyond a few
/// million numbers they repeat.
inline Tensor random_on(Device device, const Shape& shape, uint64_t seed) {
  Tensor t = Tensor::empty(shape, {.device = device});
  const int64_t n = t.numel(), most = std::min<int64_t>(n, int64_t{1} << 22);
  Tensor some = Tensor::empty({most});
  nn::Init::normal(1).fill(some, {.seed = seed});
  backend::DeviceRuntime& runtime = backend::runtime(device);
  for (int64_t at = 0; at < n; at += most)
    runtime.copy(static_cast<float*>(t.mutable_raw()) + at, some.raw(),
                 static_cast<size_t>(std::min(most, n - at)) * sizeof(float),
                 device.type == DeviceType::cpu ? backend::CopyKind::host_to_host
                                                : backend::CopyKind::host_to_device,
                 runtime.stream(0));
  runtime.synchronize(runtime.stream(0));
  return t;
}

/// `tiny` is for rehearsals.
inline DeviceCeilings measure_ceilings(Device device, bool tiny) {
  const autograd::NoGradGuard no_gradients;
  DeviceCeilings best;
  const auto rate = [&](double work, int calls, const std::function<void()>& once) {
    double fastest = 0;
    once();
    for (int round = 0; round < 5; ++round)
      fastest = std::max(fastest, work * calls / device_seconds(device, [&] {
                                    for (int i = 0; i < calls; ++i) once();
                                  }));
    return fastest;
  };
  {
    const int64_t n = tiny ? 1 << 12 : int64_t{1} << 28;  // of 4 bytes: many times any cache
    const Tensor from = random_on(device, {n}, 1);
    Tensor to = Tensor::empty({n}, {.device = device});
    best.copy = rate(8.0 * static_cast<double>(n), 5, [&] { to.copy_from(from); });
  }
  const int64_t m = tiny ? 32 : 8192;
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(m * m);
  const Tensor a = random_on(device, {m, m}, 2), b = random_on(device, {m, m}, 3);
  best.f32 = rate(flops, tiny ? 1 : 3, [&] { ops::linear(a, b, {}); });
  const Tensor a16 = a.to(DType::bf16), b16 = b.to(DType::bf16);
  best.bf16 = rate(flops, tiny ? 1 : 20, [&] { ops::linear(a16, b16, {}); });
  return best;
}

}  // namespace sing::bench
