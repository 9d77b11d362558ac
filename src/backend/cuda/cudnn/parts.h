#pragma once
#include <string>

namespace sing::cuda::cudnn {

/// A sentence when the libraries that libcudnn is made of are not found; else empty. libcudnn opens
/// them by itself at the first call and ends the process where it cannot.
std::string missing_part();

}  // namespace sing::cuda::cudnn
