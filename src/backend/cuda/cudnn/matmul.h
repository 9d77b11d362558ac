#pragma once
#include <functional>

#include "backend/cuda/switches.h"
#include "kernels/gemm.h"

namespace sing::cuda::cudnn {

/// Exact GELU or its derivative behind a product of bf16 matrices, in one kernel. False where cuDNN
/// does not serve these arguments or is not the faster one; then `own`, which computes `args` in
/// another way, is still to be called.
///
/// Provider::cudnn takes what cuDNN suggests first. With Provider::automatic the first call for a
/// shape runs `own` and some plans of every engine a few times and keeps the fastest for the
/// process, with SING_CUDA_PLANS=FILE also for later ones; more are tried then. Results of the two
/// differ in the last bits, so while deterministic(), when runs have to repeat each other, nothing
/// is timed without a file to keep the choice in. Neither are small products, nor what is called
/// first in a captured graph: `own` serves those.
///
/// Of every engine, since for the properties of an H200 the heuristic of cuDNN 9.19 names kernels
/// of the generation before only (engine 7, tiles of 128 x 128 x 32), while engine 2 makes some for
/// sm_90 and engine 4 would, but has to ask a device how many clusters fit, so it cannot be planned
/// without one. Making a plan takes 1 to 3 seconds of one processor.
bool try_gelu_product(const kernels::GemmArgs& args, Provider provider,
                      const std::function<void()>& own);

}  // namespace sing::cuda::cudnn
