#pragma once
// The transforms of a chain on the device: what DeviceStep launches before the hosts.
#include <memory>
#include <vector>

#include "optim/device.h"
#include "optim/device/buffers.h"
#include "optim/device/layout.h"
#include "optim/device/stages.h"

namespace sing::optim {

/// One measuring pass, its stages, and g' written out behind them where the plan says so.
class DeviceChainPass {
 public:
  DeviceChainPass(const ParamTable& table, const StagePlan& plan, bool first);

  /// Bytes in the table of a step: sources, values (with agc) and records of the write.
  size_t table_bytes() const;
  /// Fills them at `host`. `sources[i]`: first element of the gradient or nullptr; becomes what
  /// stands behind this pass.
  void fill(char* host, std::span<const void*> sources, const ParamTable::Buffer& scratch);
  const MeasurePlan& measured() const { return plan_; }
  void launch(const char* device, cuda::StepReport* report, double* norms) const;

  /// What an update applies to tensor i behind this pass.
  void describe_result(size_t i, cuda::UpdateRecord& record) const;
  void read_numbers();
  void write_numbers();

 private:
  struct Numbers {
    GradientTransform* stage;
    DeviceArray<double> values;
  };
  /// Kernels between two that take rows one by one.
  struct Segment {
    std::vector<DeviceRule> rules;
    std::optional<DeviceRule> agc;  // behind them
  };
  void describe_map(size_t i, cuda::UpdateRecord& record) const;
  void add_rules(const StagePlan& plan);
  const void* const* sources_at(const char* device) const {
    return reinterpret_cast<const void* const*>(device);
  }
  const void* const* values_at(const char* device) const { return sources_at(device) + count_; }

  const ParamTable& table_;
  size_t count_;
  bool first_, measures_, write_, clips_units_ = false;
  double limit_;
  Device device_;
  MeasurePlan plan_;
  std::vector<uint8_t> centred_;  // by tensor, behind all rules
  std::vector<Segment> segments_;
  std::vector<std::unique_ptr<DeviceArray<uint8_t>>> flags_;
  std::vector<std::unique_ptr<Numbers>> numbers_;
  DeviceArray<cuda::MeasurePiece> pieces_;
  DeviceArray<cuda::MeasureLayout> layouts_;
  DeviceArray<cuda::RowNumbers> rows_, cuts_, weight_rows_, weight_cuts_;
  DeviceArray<double> partials_, scales_;
  DeviceArray<cuda::TensorNumbers> norms_, weight_norms_;
  DeviceArray<cuda::MapNumbers> maps_;
  DeviceArray<cuda::Chunk> chunks_;
  int64_t chunk_count_ = 0;
  backend::Work measured_;  // of a launch over all elements
};

}  // namespace sing::optim
