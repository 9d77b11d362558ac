#pragma once
#include <map>
#include <vector>

#include "backend/cuda/cudnn/graph.h"

namespace sing::test {

/// Tensors of a graph by their number, as memory that their strides walk over, in f64.
using GraphMemory = std::map<int64_t, std::vector<double>>;

/// Computes a graph step by step on the CPU, in f64 and by the definition of each operation:
/// whether what cuDNN is asked for is what was meant. `memory` holds the inputs; outputs and what
/// lies between are added (an output that is there is written into).
void follow(const cuda::cudnn::Graph& graph, GraphMemory& memory);

}  // namespace sing::test
