#include <gtest/gtest.h>

#include "sing/backend/runtime.h"
#include "sing/core/error.h"
#include "sing/tensor/tensor.h"

namespace sing {
namespace {

#if !defined(__SANITIZE_ADDRESS__)
TEST(CpuRuntime, SteadyStateAsksTheSystemForNothing) {
  const auto step = [] {
    const Tensor a = Tensor::zeros({1000, 1000}), b = a.clone(), c = Tensor::empty({7});
  };
  step();
  const int64_t before = backend::runtime({}).memory().requests;
  for (int i = 0; i < 10; ++i) step();
  EXPECT_EQ(backend::runtime({}).memory().requests, before);
}
#endif

TEST(CpuRuntime, CountsWhatIsInUse) {
  const int64_t before = backend::runtime({}).memory().in_use;
  {
    const Tensor a = Tensor::empty({1 << 20});
    EXPECT_GE(backend::runtime({}).memory().in_use, before + (4 << 20));
  }
  EXPECT_EQ(backend::runtime({}).memory().in_use, before);
}

TEST(CpuRuntime, OutOfMemoryIsAnError) {
  EXPECT_THROW(Tensor::empty({int64_t{1} << 50}), OutOfMemoryError);
  backend::fail_cpu_allocation(2);
  const Tensor first = Tensor::empty({4});
  EXPECT_THROW(Tensor::empty({4}), OutOfMemoryError);
  EXPECT_NO_THROW(Tensor::empty({4}));
}

}  // namespace
}  // namespace sing
