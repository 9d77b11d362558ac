// What an error of the device says: kernel, device, layer, op, operands, and what to do. Failures
// are planted in the emulator (SING_EMULATOR_FAIL, see its cuda_runtime.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include "backend/cuda/kernel_name.h"
#include "backend/cuda/product_text.h"
#include "sing/backend/layer_scope.h"
#include "sing/backend/memory.h"
#include "sing/backend/plugin.h"
#include "sing/core/error.h"
#include "sing/ops/linear.h"
#include "sing/ops/norm.h"
#include "sing/ops/unary.h"
#include "sing/tensor/tensor.h"
#include "support/program.h"
#include "support/toy_experiment.h"

namespace sing::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr TensorOptions kThere{.device = {DeviceType::cuda, 0}};

class Planted {
 public:
  explicit Planted(const char* failure) { setenv("SING_EMULATOR_FAIL", failure, 1); }
  ~Planted() { unsetenv("SING_EMULATOR_FAIL"); }
};

bool emulated() {
  return backend::runtime(kThere.device).description().find("emulated") != std::string::npos;
}

/// What `work` throws under the planted failure.
template <class Work>
std::optional<BackendError> error_of(const char* failure, const Work& work) {
  const Planted planted(failure);
  try {
    work();
  } catch (const BackendError& error) {
    return error;
  }
  return std::nullopt;
}

TEST(CudaError, ARefusedLaunchNamesKernelLayerOpAndOperands) {
  if (!emulated()) GTEST_SKIP() << "failures are planted in the emulator";
  const Tensor x = Tensor::full({4, 24}, 1, kThere);
  const Tensor scale = Tensor::full({24}, 1, kThere), shift = Tensor::full({24}, 0, kThere);
  const auto error = error_of("refuse:forward_", [&] {
    const backend::MemoryScope phase(backend::MemoryPurpose::activations, "forward");
    const backend::LayerScope layer(std::string("blocks.3.norm1"));
    ops::layer_norm(x, scale, shift);
  });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), "E0104");
  EXPECT_THAT(error->what(), StartsWith("launching forward_"));
  EXPECT_THAT(error->what(), HasSubstr(" failed on cuda:0: invalid configuration argument"));
  EXPECT_THAT(error->where(),
              StartsWith("forward, blocks.3.norm1, layer_norm, f32 (4, 24), f32 (24), f32 (24) -> "
                         "f32 (4, 24)"));
  EXPECT_THAT(error->hint(), HasSubstr("report it"));
  ops::layer_norm(x, scale, shift);  // nothing of it stays
}

TEST(CudaError, AndOfAnOpOnTheWayBack) {
  if (!emulated()) GTEST_SKIP() << "failures are planted in the emulator";
  Tensor x = Tensor::full({4, 24}, 1, kThere);
  x.set_requires_grad(true);
  const Tensor w = Tensor::full({8, 24}, 1, kThere);
  const Tensor y = ops::linear(x, w);
  const auto error = error_of("refuse:gemm", [&] { y.backward(Tensor::full({4, 8}, 1, kThere)); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->where(), "backward, linear, f32 (4, 8), f32 (8, 24) -> f32 (4, 24)");
}

/// A device that broke stays so: a process of its own. What the program prints is what people see.
Finished broken_run(const std::vector<std::string>& environment) {
  const TemporaryFolder folder;
  std::ofstream(folder / "toy.yaml") << toy_config();
  std::vector<std::string> all = {"SING_BACKEND_PATH=" SING_BINARY_DIR
                                  "/tests/plugins/libsing_cuda_emulated.so",
                                  "SING_EMULATOR_FAIL=break:backward_kernel"};
  all.insert(all.end(), environment.begin(), environment.end());
  return run_program(
      "sing-train",
      {"-c", folder / "toy.yaml", "-o", folder / "runs", "--device", "cuda", "--max-steps", "1"},
      all);
}

TEST(CudaError, WithSyncItNamesTheOpThatBrokeTheDevice) {
  const Finished run = broken_run({"SING_CUDA_SYNC=1"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.error, HasSubstr("error[E0104]: backward_kernel<f32, 4> failed on cuda:0: an "
                                   "illegal memory access was encountered\n"
                                   "  backward, mse_loss, f32 (4, 1, 24, 24), f32 (4, 1, 24, 24), "
                                   "f32 () -> f32 (4, 1, 24, 24)\n"));
  EXPECT_THAT(run.error, HasSubstr("compute-sanitizer"));
}

TEST(CudaError, WithoutItSaysHowToFindThatOp) {
  const Finished run = broken_run({"SING_EMULATOR_STREAMS=late"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.error, HasSubstr("an illegal memory access was encountered"));
  EXPECT_THAT(run.error, HasSubstr("SING_CUDA_SYNC=1 waits for each launch and names its op"));
}

TEST(KernelName, WithoutWhatAReaderKnows) {
  EXPECT_EQ(cuda::readable("void sing::cuda::(anonymous namespace)::forward_kernel<sing::bfloat16, "
                           "12, true>(sing::cuda::(anonymous namespace)::ForwardJob<float>)"),
            "forward_kernel<bf16, 12, true>");
  EXPECT_EQ(cuda::readable("void sing::cuda::update_kernel<sing::optim::(anonymous "
                           "namespace)::AdamRule<float> >(sing::cuda::UpdateLaunch)"),
            "update_kernel<AdamRule<f32>>");
  EXPECT_EQ(
      cuda::readable("sing::cuda::(anonymous namespace)::combine_kernel(float, float const*)"),
      "combine_kernel");
  EXPECT_EQ(cuda::readable("void sing::cuda::walk_kernel<float (*)(float, float), double>(int)"),
            "walk_kernel<f32 (*)(f32, f32), f64>");
  EXPECT_EQ(cuda::readable("not_mangled"), "not_mangled");
}

TEST(ProductText, SaysWhatALibraryMultiplies) {
  cuda::LibraryProduct p{};
  p.rows = 1536;
  p.cols = 512;
  p.depth = 384;
  p.batches = 1;
  p.a.transposed = true;
  const cuda::Described plain = cuda::describe_product(p, DType::bf16, DType::bf16);
  EXPECT_EQ(plain.name, "cublaslt 512x1536x384 bf16 tn");
  EXPECT_EQ(plain.work.flops, 2.0 * 512 * 1536 * 384);
  EXPECT_EQ(plain.work.read, 2 * (512 * 384 + 1536 * 384));
  EXPECT_EQ(plain.work.written, 2 * 512 * 1536);
  p.batches = 3;
  p.bias = p.accumulate = p.keeps_input = true;
  p.activation = cuda::LibraryActivation::gelu_tanh;
  p.bias_grad = true;
  const cuda::Described full = cuda::describe_product(p, DType::bf16, DType::f32);
  EXPECT_EQ(full.name, "cublaslt 3 x 512x1536x384 bf16 -> f32 tn bias gelu kept +bias gradient +=");
  EXPECT_EQ(full.work.written, 3 * 2 * 4 * 512 * 1536);
}

}  // namespace
}  // namespace sing::test
