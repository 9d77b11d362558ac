#pragma once
// The transforms of a chain on the device: few numbers per tensor, all tensors in one block.
#include "kernels/cuda/optim.h"
#include "sing/optim/transform.h"

namespace sing::optim {

inline constexpr int kMaxStageRules = 8;

struct DeviceRule {
  StageRule rule;
  const uint8_t* centred;  // by tensor: whether norms are those without means by now
  double* numbers;         // of the stage, by tensor
};

struct StageLaunch {
  Stream stream;
  DeviceRule rules[kMaxStageRules];
  int count;
  int begins;   // maps start at 1
  int reports;  // norms are those of the gradients as they came
  int64_t tensors;
  const void* const* sources;
  const cuda::TensorNumbers* numbers;
  cuda::MapNumbers* maps;
  cuda::StepReport* report;
  double* norms;
};
void launch_stages(const StageLaunch& launch);

/// Adaptive gradient clipping: scales of units (rows), and the norms as they are behind it.
struct AgcLaunch {
  Stream stream;
  double clip_factor, eps;
  const uint8_t* centred;
  int again;  // the units have scales already
  int64_t tensors;
  const void* const* sources;
  const cuda::MeasureLayout* layouts;
  const cuda::RowNumbers* rows;
  const cuda::RowNumbers* weights;
  cuda::TensorNumbers* numbers;
  const cuda::MapNumbers* maps;
  double* scales;
  const cuda::StepReport* report;
};
void launch_agc(const AgcLaunch& launch);

}  // namespace sing::optim
