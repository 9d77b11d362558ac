#include "optim/device/chain.h"

#include <cstring>
#include <limits>
#include <numeric>

namespace sing::optim {
DeviceChainPass::DeviceChainPass(const ParamTable& table, const StagePlan& plan, bool first)
    : table_(table),
      count_(table.size()),
      first_(first),
      measures_(first || !plan.stages.empty()),
      write_(plan.write),
      limit_(std::numeric_limits<double>::infinity()),
      device_(table.device()),
      plan_(table, plan.requests),
      centred_(count_),
      pieces_(plan_.pieces, device_),
      layouts_(plan_.layouts, device_),
      rows_(static_cast<size_t>(plan_.rows), device_),
      cuts_(static_cast<size_t>(plan_.cuts), device_),
      partials_(2 * plan_.pieces.size(), device_),
      norms_(count_, device_),
      maps_(count_, device_) {
  add_rules(plan);
  for (size_t i = 0; i < count_; ++i)
    measured_.read += checked_bytes(table_.parameter(i).value.numel(), DType::f32);
  if (clips_units_) {
    weight_rows_ = DeviceArray<cuda::RowNumbers>(static_cast<size_t>(plan_.rows), device_);
    weight_cuts_ = DeviceArray<cuda::RowNumbers>(static_cast<size_t>(plan_.cuts), device_);
    weight_norms_ = DeviceArray<cuda::TensorNumbers>(count_, device_);
    scales_ = DeviceArray<double>(static_cast<size_t>(plan_.rows), device_);
  }
  if (plan.last != nullptr)
    for (const StageRule& rule : plan.last->rules()) limit_ = std::min(limit_, rule.a);
  if (write_) {
    std::vector<size_t> all(count_);
    std::iota(all.begin(), all.end(), size_t{0});
    const std::vector<cuda::Chunk> chunks = update_chunks(table, all, plan_);
    chunk_count_ = static_cast<int64_t>(chunks.size());
    chunks_ = DeviceArray<cuda::Chunk>(chunks, device_);
  }
}

void DeviceChainPass::add_rules(const StagePlan& plan) {
  segments_.emplace_back();
  for (GradientTransform* stage : plan.stages)
    for (const StageRule& rule : stage->rules()) {
      if (rule.kind == StageRule::Kind::centre)
        for (size_t i = 0; i < count_; ++i)
          if (stage->rows(table_.meta(i))) centred_[i] = 1;
      flags_.push_back(std::make_unique<DeviceArray<uint8_t>>(centred_, device_));
      DeviceRule device{rule, flags_.back()->data(), nullptr};
      if (rule.kind == StageRule::Kind::adanorm) {
        numbers_.push_back(
            std::make_unique<Numbers>(Numbers{stage, DeviceArray<double>(count_, device_)}));
        device.numbers = numbers_.back()->values.data();
      }
      if (rule.kind == StageRule::Kind::agc) {
        clips_units_ = true;
        segments_.back().agc = device;
        segments_.emplace_back();
        continue;
      }
      if (segments_.back().rules.size() == kMaxStageRules) segments_.emplace_back();
      segments_.back().rules.push_back(device);
    }
}

size_t DeviceChainPass::table_bytes() const {
  const size_t pointers = 2 * count_ * sizeof(void*);
  return (pointers + 15) / 16 * 16 + (write_ ? count_ * sizeof(cuda::UpdateRecord) : 0);
}

void DeviceChainPass::describe_map(size_t i, cuda::UpdateRecord& record) const {
  record.row_length = 1;
  if (!measures_) return;
  const cuda::MeasureLayout& layout = plan_.layouts[i];
  record.map = maps_.data() + i;
  record.rows = centred_[i] != 0 ? rows_.data() + layout.first_row : nullptr;
  record.row_scale = clips_units_ ? scales_.data() + layout.first_row : nullptr;
  record.row_length = std::max<int64_t>(1, layout.row_length);
}

void DeviceChainPass::describe_result(size_t i, cuda::UpdateRecord& record) const {
  if (!write_) return describe_map(i, record);
  record.row_length = 1;
  record.map = measures_ ? maps_.data() + i : nullptr;
  record.written = 1;
}

void DeviceChainPass::fill(char* host, std::span<const void*> sources,
                           const ParamTable::Buffer& scratch) {
  auto* const pointers = reinterpret_cast<const void**>(host);
  std::copy(sources.begin(), sources.end(), pointers);
  for (size_t i = 0; i < count_; ++i)
    pointers[count_ + i] = sources[i] != nullptr ? table_.parameter(i).value.raw() : nullptr;
  if (!write_) return;
  auto* const records = reinterpret_cast<cuda::UpdateRecord*>(host + table_bytes() -
                                                              count_ * sizeof(cuda::UpdateRecord));
  for (size_t i = 0; i < count_; ++i) {
    cuda::UpdateRecord& r = records[i];
    r = {};
    r.rule = -1;
    if (sources[i] == nullptr) continue;
    r.rule = 0;
    r.value = const_cast<void*>(scratch.slices[i].raw());
    r.gradient = sources[i];
    describe_map(i, r);
    r.aligned = 1;  // both are slices of buffers
    const auto limit = static_cast<float>(limit_);
    std::memcpy(r.functor, &limit, sizeof limit);
    sources[i] = r.value;
  }
}

void DeviceChainPass::launch(const char* device, cuda::StepReport* report, double* norms) const {
  const auto tensors = static_cast<int64_t>(count_);
  const void* const* const sources = sources_at(device);
  if (measures_) {
    const cuda::MeasureLaunch measure{{},
                                      sources,
                                      pieces_.data(),
                                      static_cast<int64_t>(plan_.pieces.size()),
                                      layouts_.data(),
                                      tensors,
                                      rows_.data(),
                                      cuts_.data(),
                                      partials_.data(),
                                      norms_.data()};
    backend::note_work(measured_);
    cuda::measure_tensors(measure);
    bool begins = true, again = false;
    for (const Segment& segment : segments_) {
      StageLaunch stages{};
      std::copy(segment.rules.begin(), segment.rules.end(), stages.rules);
      stages.count = static_cast<int>(segment.rules.size());
      stages.begins = begins;
      stages.reports = begins && first_;
      stages.tensors = tensors;
      stages.sources = sources;
      stages.numbers = norms_.data();
      stages.maps = maps_.data();
      stages.report = report;
      stages.norms = norms;
      if (begins || stages.count > 0) launch_stages(stages);
      begins = false;
      if (!segment.agc) continue;
      cuda::MeasureLaunch weights = measure;
      weights.sources = values_at(device);
      weights.rows = weight_rows_.data();
      weights.cuts = weight_cuts_.data();
      weights.out = weight_norms_.data();
      backend::note_work(measured_);
      cuda::measure_tensors(weights);
      launch_agc({{},
                  segment.agc->rule.a,
                  segment.agc->rule.b,
                  segment.agc->centred,
                  again,
                  tensors,
                  sources,
                  layouts_.data(),
                  rows_.data(),
                  weight_rows_.data(),
                  norms_.data(),
                  maps_.data(),
                  scales_.data(),
                  report});
      again = true;
    }
  }
  if (!write_) return;
  cuda::UpdateLaunch out{};
  out.chunks = chunks_.data();
  out.count = chunk_count_;
  out.records = reinterpret_cast<const cuda::UpdateRecord*>(device + table_bytes() -
                                                            count_ * sizeof(cuda::UpdateRecord));
  out.report = report;
  cuda::launch_write_gradient(out);
}

void DeviceChainPass::read_numbers() {
  for (const auto& n : numbers_) {
    const std::span<double> to = n->stage->numbers();
    cuda::check(cudaMemcpyAsync(to.data(), n->values.data(), to.size_bytes(),
                                cudaMemcpyDeviceToHost, cuda::native({})),
                "a copy");
  }
  cuda::check(cudaStreamSynchronize(cuda::native({})), "a copy");
}

void DeviceChainPass::write_numbers() {
  for (const auto& n : numbers_) {
    const std::span<double> from = n->stage->numbers();
    cuda::check(cudaMemcpyAsync(n->values.data(), from.data(), from.size_bytes(),
                                cudaMemcpyHostToDevice, cuda::native({})),
                "a copy");
  }
  cuda::check(cudaStreamSynchronize(cuda::native({})), "a copy");
}

}  // namespace sing::optim
