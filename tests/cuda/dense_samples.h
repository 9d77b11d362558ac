#pragma once
// For sizes that matter to the kernels only: one run per dtype of each sample on the device,
// against the f64 reference on the CPU. Layouts and repetition are the battery's work.
#include <gtest/gtest.h>

#include "ops/harness/checks.h"
#include "sing/backend/kernel_slot.h"

namespace sing::test {

inline void expect_dense_samples_close(const OpCase& c) {
  for (const Sample& sample : c.samples()) {
    const Prepared p(c, sample, Layout::dense);
    Run wanted;
    {
      const backend::KernelPathGuard reference(backend::KernelPath::reference);
      wanted = run(c, p, DType::f64, Layout::dense);
    }
    for (const DType dtype : {DType::f32, DType::bf16})
      expect_run_close(run(c, p, dtype, Layout::dense, Device{DeviceType::cuda, 0}), wanted,
                       allowed(c, dtype, sample, wanted.shape), p, c.gradient_floor(),
                       c.name() + ", " + sample.name + ", " + std::string(name_of(dtype)));
  }
}

}  // namespace sing::test
