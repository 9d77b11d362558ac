// Gradients through activations on the device, with more rows than one block sums.
#include <gtest/gtest.h>

#include "cuda/dense_samples.h"
#include "sing/ops/linear.h"

namespace sing::test {

TEST(CudaActivationGrad, ManyRows) {
  OpCase c("linear");
  for (const auto& [name, activation] :
       {std::pair{"none", ops::Activation::none}, std::pair{"relu", ops::Activation::relu},
        std::pair{"gelu", ops::Activation::gelu},
        std::pair{"gelu_tanh", ops::Activation::gelu_tanh}})
    c.sample(name, {in("x", {1100, 3}), in("weight", {16, 3}), in("bias", {16})},
             [activation = activation](const Inputs& i) {
               return ops::linear(i["x"], i["weight"], i["bias"], activation);
             });
  expect_dense_samples_close(c);
}

}  // namespace sing::test
