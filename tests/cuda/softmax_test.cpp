// Softmax on the device at the widths that take different paths.
#include <gtest/gtest.h>

#include "cuda/dense_samples.h"
#include "sing/ops/softmax.h"

namespace sing::test {

TEST(CudaSoftmax, Widths) {
  for (const bool log : {false, true}) {
    OpCase c(log ? "log_softmax" : "softmax");
    c.gradient_floor(0.1);  // as in the case of the op: gradients cancel
    for (const int64_t n : {264, 1024, 2056, 4104, 8200, 2049})
      c.sample(std::to_string(n), {in("x", {2, n}, Fill::normal(2))}, [log](const Inputs& i) {
        return log ? ops::log_softmax(i["x"], 1) : ops::softmax(i["x"], 1);
      });
    expect_dense_samples_close(c);
  }
}

}  // namespace sing::test
