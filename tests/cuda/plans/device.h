#pragma once
#include <string>

#include "backend/cuda/cudnn/graph.h"
#include "sing/core/file_system.h"

namespace sing::test {

/// A device that is not there: cuDNN plans for an H200, whose properties were put together by hand.
/// Plans say that a graph is accepted and by which engine, nothing about numbers or speed.
inline const cuda::cudnn::Target& absent_h200() {
  static const cuda::cudnn::Descriptor properties = [] {
    const std::string path =
        std::string(SING_SOURCE_DIR) + "/tests/cuda/plans/h200_properties.json";
    return cuda::cudnn::device_properties(
        std::string(read_file(posix_file_system(), path, 1 << 16).text()));
  }();
  static const cuda::cudnn::Target target{nullptr, &properties};
  return target;
}

}  // namespace sing::test
