// The switch for exact GELU behind products (what cuDNN then does, only a device can show).
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/gemm.h"
#include "sing/backend/kernel_slot.h"
#include "sing/backend/plugin.h"
#include "sing/core/error.h"

namespace sing {
namespace {

TEST(CudaGeluDeathTest, AnUnknownChoiceIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the choice is read once per process
  EXPECT_EXIT(
      {
        setenv("SING_CUDA_GELU", "fastest", 1);
        try {
          if (!backend::backend_state(DeviceType::cuda).usable) std::exit(1);
          kernels::gemm(DeviceType::cuda, {});
        } catch (const ConfigError& error) {
          std::fputs(error.what(), stderr);
          std::exit(7);
        }
      },
      ::testing::ExitedWithCode(7), "SING_CUDA_GELU must be own, cudnn or auto; got fastest");
}

}  // namespace
}  // namespace sing
