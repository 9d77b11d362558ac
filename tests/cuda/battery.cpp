// Every op case on the CUDA backend, against the f64 reference on the CPU. SING_BACKEND_PATH
// chooses the backend; without it the emulated one, in which every tensor ends at a page nobody may
// touch.
#include <gtest/gtest.h>

#include <cstdlib>

#include "ops/harness/checks.h"
#include "sing/autograd/autocast.h"
#include "sing/backend/kernel_slot.h"
#include "sing/backend/plugin.h"

namespace sing::test {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

[[maybe_unused]] const bool g_chosen = [] {
  if (std::getenv("SING_BACKEND_PATH") == nullptr) {
    setenv("SING_BACKEND_PATH", SING_BINARY_DIR "/tests/plugins/libsing_cuda_emulated.so", 0);
    setenv("SING_CUDA_CACHE", "off", 0);
  }
  return true;
}();

bool usable() {
  const backend::BackendState& state = backend::backend_state(DeviceType::cuda);
  EXPECT_TRUE(state.usable) << state.reason;
  return state.usable;
}

void check_device(const OpCase& c) {
  if (!usable()) return;
  for (const Sample& sample : c.samples())
    for (const Layout layout : c.layouts(sample)) {
      const Prepared p(c, sample, layout);
      Run wanted;
      {
        const backend::KernelPathGuard reference(backend::KernelPath::reference);
        wanted = run(c, p, DType::f64, Layout::dense);
      }
      const std::string where = c.name() + ", sample " + sample.name + ", " + name_of(layout);
      for (const DType dtype : c.dtypes()) {
        if (dtype == DType::f16) continue;  // stored and converted there, not computed in
        const Run got = run(c, p, dtype, layout, kCuda);
        expect_run_close(got, wanted, allowed(c, dtype, sample, wanted.shape), p,
                         c.gradient_floor(), where + ", " + std::string(sing::name_of(dtype)));
        const Run again = run(c, p, dtype, layout, kCuda);
        EXPECT_EQ(again.output, got.output) << where << ": two runs differ";
        EXPECT_EQ(again.gradients, got.gradients) << where << ": two runs differ";
      }
      if (layout == Layout::dense) {
        const autocast::Guard guard(DType::bf16);
        expect_run_close(run(c, p, DType::f32, layout, kCuda), wanted,
                         allowed(c, DType::bf16, sample, wanted.shape), p, c.gradient_floor(),
                         where + ", autocast");
      }
      if (::testing::Test::HasFailure()) return;
    }
}

}  // namespace

std::vector<Check> battery() {
  return {{"cuda", check_device}};
}

TEST(CudaBackend, FillsEverySlot) {
  ASSERT_TRUE(usable());
  for (const backend::SlotBase* slot : backend::SlotBase::all())
    EXPECT_TRUE(slot->has(DeviceType::cuda)) << slot->name() << " has no CUDA kernel";
}

}  // namespace sing::test
