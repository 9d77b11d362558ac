#pragma once
#include <optional>

#include "backend/cuda/cudnn/matmul_graph.h"
#include "kernels/gemm.h"

namespace sing::cuda::cudnn {

/// The product that cuDNN is asked for; nothing where it is not: other dtypes and activations, what
/// adds to C, batches, rows that are not whole 16 bytes or do not start at such an address.
std::optional<GeluProblem> gelu_problem(const kernels::GemmArgs& args);

}  // namespace sing::cuda::cudnn
