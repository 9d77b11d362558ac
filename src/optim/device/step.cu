// DeviceStep on CUDA. The table of a step (records of all tensors, with the numbers of host and
// step) is written to pinned memory and copied in one piece; kernels read it from device memory.
#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/optim_update.h"
#include "optim/add_host.h"
#include "optim/device.h"
#include "optim/device/chain.h"
#include "optim/device/elementwise.h"

namespace sing::optim {

Device on_device::device_of_backend() {
  int index = 0;
  cuda::check(cudaGetDevice(&index), "asking for the device");
  return {DeviceType::cuda, static_cast<int16_t>(index)};
}

DeviceHosts& device_hosts() {
  static DeviceHosts hosts;
  return hosts;
}

namespace {

/// Records of one pass of one host.
class PassRecorder final : public UpdateRecorder {
 public:
  PassRecorder(const ParamTable& table, const std::vector<PostStep*>& posts,
               std::span<const size_t> tensors)
      : table_(table), posts_(posts), tensors_(tensors), place_(table.size(), 0) {
    for (size_t k = 0; k < tensors.size(); ++k) place_[tensors[k]] = k;
  }

  size_t bytes() const { return tensors_.size() * sizeof(cuda::UpdateRecord); }
  const std::vector<UpdateKernel>& kernels() const { return kernels_; }

  /// Starts anew at `memory`. `last`: what follows an update belongs to this pass.
  void begin(char* memory, const DeviceChainPass* chain, bool last) {
    records_ = reinterpret_cast<cuda::UpdateRecord*>(memory);
    chain_ = chain;
    last_ = last;
    kernels_.clear();
    for (size_t k = 0; k < tensors_.size(); ++k) records_[k].rule = -1;
  }

  void record(UpdateKernel kernel, const void* functor, size_t bytes,
              const UpdateRange& range) override {
    cuda::UpdateRecord& r = start(range.index, kernel);
    r.value = range.value;
    r.gradient = range.gradient;
    std::copy_n(range.slots.begin(), cuda::kRecordSlots, r.slots);
    r.coupled = range.coupled;
    r.decay = range.decay;
    if (chain_ != nullptr) chain_->describe_result(range.index, r);
    std::memcpy(r.functor, functor, bytes);
    finish(range.index, r);
  }

  /// Tensors without an update: what follows it is for all.
  void record_others() {
    if (!last_ || posts_.empty()) return;
    for (size_t k = 0; k < tensors_.size(); ++k) {
      if (records_[k].rule >= 0) continue;
      const size_t i = tensors_[k];
      cuda::UpdateRecord& r = start(i, &cuda::launch_unchanged);
      r.value = table_.parameter(i).value.mutable_raw();
      r.gradient = r.value;
      finish(i, r);
    }
  }

  /// What the launch of a rule reads and writes, but for what one step in several does (LookAhead).
  backend::Work work(int32_t rule) const {
    backend::Work work;
    for (size_t k = 0; k < tensors_.size(); ++k) {
      const cuda::UpdateRecord& r = records_[k];
      if (r.rule != rule) continue;
      const Tensor& value = table_.parameter(tensors_[k]).value;
      const int64_t bytes = checked_bytes(value.numel(), value.dtype());
      const auto slots = std::ranges::count_if(r.slots, [](const void* s) { return s != nullptr; });
      work.read += (2 + slots) * bytes;
      work.written += ((last_ ? 1 : 0) + slots) * bytes;
      if (r.working != nullptr) work.written += bytes / 2;
    }
    return work;
  }

 private:
  cuda::UpdateRecord& start(size_t index, UpdateKernel kernel) {
    size_t rule = 0;
    while (rule < kernels_.size() && kernels_[rule] != kernel) ++rule;
    if (rule == kernels_.size()) kernels_.push_back(kernel);
    cuda::UpdateRecord& r = records_[place_[index]];
    r = {};
    r.rule = static_cast<int32_t>(rule);
    r.row_length = 1;
    return r;
  }
  void finish(size_t index, cuda::UpdateRecord& r) const {
    if (last_) {
      Tensor& working = table_.parameter(index).working;
      if (working.dtype() == DType::bf16) r.working = working.mutable_raw();
      for (PostStep* post : posts_)
        (post->rule().kind == PostStep::Kind::synchronise ? r.slow : r.average) =
            post->state(index).mutable_raw();
    }
    const auto fits = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
    r.aligned = fits(r.value) && fits(r.gradient) && fits(r.slots[0]) && fits(r.slots[1]) &&
                fits(r.slots[2]) && fits(r.working) && fits(r.slow) && fits(r.average);
  }

  const ParamTable& table_;
  const std::vector<PostStep*>& posts_;
  std::span<const size_t> tensors_;
  std::vector<size_t> place_;  // of a table index among the records
  cuda::UpdateRecord* records_ = nullptr;
  const DeviceChainPass* chain_ = nullptr;
  bool last_ = false;
  std::vector<UpdateKernel> kernels_;  // by rule
};

class CudaStep final : public DeviceStep {
 public:
  explicit CudaStep(const DevicePlan& plan)
      : plan_(plan), table_(plan.table), device_(table_.device()) {
    bool writes = false;
    for (const StagePlan& stages : plan_.passes) {
      chain_.push_back(std::make_unique<DeviceChainPass>(table_, stages, chain_.empty()));
      writes = writes || stages.write;
    }
    if (writes) scratch_ = table_.make_buffer();
    size_t at = (sizeof(cuda::PostNumbers) + 15) / 16 * 16;
    for (const auto& pass : chain_) {
      chain_at_.push_back(at);
      at += pass->table_bytes();
    }
    for (const DevicePlan::Use& use : plan_.uses) {
      const std::vector<cuda::Chunk> chunks =
          update_chunks(table_, use.tensors, chain_.back()->measured());
      uses_.push_back({.chunks = {chunks, device_}, .count = static_cast<int64_t>(chunks.size())});
      for (int pass = 0; pass < use.passes; ++pass)
        uses_.back().recorders.push_back(
            std::make_unique<PassRecorder>(table_, plan_.post_steps, use.tensors));
      if (use.passes > 1) make_sums(uses_.back(), chunks, use.tensors.size());
      for (const auto& recorder : uses_.back().recorders) {
        uses_.back().at.push_back(at);
        at += recorder->bytes();
      }
    }
    table_bytes_ = at;
    ring_ = std::make_unique<PinnedRing>(at);
    step_table_ = DeviceArray<char>(at, device_);
    report_ = DeviceArray<cuda::StepReport>(1, device_);
    norms_ = DeviceArray<double>(table_.size(), device_);
    answers_ = std::make_unique<Pinned>(table_.size() * sizeof(double) + sizeof(cuda::StepReport));
    sources_.resize(table_.size());
  }

  void begin(std::span<const uint8_t> present) override {
    char* const host = ring_->next();
    for (size_t i = 0; i < sources_.size(); ++i)
      sources_[i] = present[i] != 0 ? table_.gradient(i).raw() : nullptr;
    auto& post = *new (host) cuda::PostNumbers{};
    for (const PostStep* step : plan_.post_steps) {
      const PostStep::Rule rule = step->rule();
      const bool lookahead = rule.kind == PostStep::Kind::synchronise;
      (lookahead ? post.synchronise : post.average) = rule.weight.has_value();
      (lookahead ? post.alpha : post.weight) = rule.weight.value_or(0);
    }
    for (size_t p = 0; p < chain_.size(); ++p)
      chain_[p]->fill(host + chain_at_[p], sources_, scratch_);
    for (size_t use = 0; use < uses_.size(); ++use)
      for (size_t pass = 0; pass < uses_[use].recorders.size(); ++pass)
        uses_[use].recorders[pass]->begin(host + uses_[use].at[pass], chain_.back().get(),
                                          pass + 1 == uses_[use].recorders.size());
  }

  UpdateRecorder& recorder(size_t use, int pass) override { return at(use, pass); }

  void upload() override {
    for (Use& use : uses_) use.recorders.back()->record_others();
    ring_->copy(step_table_.data(), 0, table_bytes_, {});
  }

  uint64_t signature() const override {
    uint64_t hash = 14695981039346656037u;
    for (const Use& use : uses_)
      for (const auto& recorder : use.recorders) {
        for (const UpdateKernel kernel : recorder->kernels())
          hash = (hash ^ reinterpret_cast<uintptr_t>(kernel)) * 1099511628211u;
        hash = (hash ^ 1) * 1099511628211u;
      }
    return hash;
  }

  const void* source(size_t i) const override { return sources_[i]; }

  void launch_chain() override {
    for (size_t p = 0; p < chain_.size(); ++p)
      chain_[p]->launch(step_table_.data() + chain_at_[p], report_.data(), norms_.data());
  }

  void launch_pass(size_t use, int pass) override { launch(use, pass, report_.data(), true); }

  DevicePass pass(size_t use, int pass) const override {
    return {records_at(uses_[use], static_cast<size_t>(pass)), uses_[use].results.data(),
            report_.data()};
  }

  int64_t finish(GradientStatistics& statistics) override {
    read(answers_->data(), report_.data(), sizeof(cuda::StepReport));
    char* const norms_at = answers_->data() + sizeof(cuda::StepReport);
    read(norms_at, norms_.data(), table_.size() * sizeof(double));
    // Whatever was queued is done with these by then.
    backend::DeviceRuntime& runtime = backend::runtime(device_);
    runtime.fill_zero(report_.data(), offsetof(cuda::StepReport, tensors), {});
    runtime.synchronize({});
    const cuda::StepReport found = report();
    statistics.global_norm = found.global_norm;
    statistics.found_nonfinite = found.nonfinite != 0;
    statistics.first_nonfinite = found.nonfinite != 0 ? found.first_nonfinite : -1;
    statistics.tensors = found.tensors;
    std::memcpy(statistics.norms.data(), norms_at, table_.size() * sizeof(double));
    return found.applied;
  }

  void run_alone(size_t use) override {
    ring_->copy(step_table_.data(), uses_[use].at[0], at(use, 0).bytes(), {});
    launch(use, 0, nullptr, false);
  }

  void read_numbers() override {
    for (const auto& pass : chain_) pass->read_numbers();
  }
  void write_numbers() override {
    for (const auto& pass : chain_) pass->write_numbers();
  }

 private:
  struct Use {
    DeviceArray<cuda::Chunk> chunks;
    int64_t count = 0;                                     // of chunks
    std::vector<std::unique_ptr<PassRecorder>> recorders;  // by pass
    std::vector<size_t> at;                                // where their records lie
    // Where there are sums.
    DeviceArray<double> sums, results;
    DeviceArray<cuda::ChunkSpan> spans;
    DeviceArray<unsigned> tickets;
  };

  void make_sums(Use& use, std::span<const cuda::Chunk> chunks, size_t tensors) const {
    std::vector<cuda::ChunkSpan> spans(tensors, cuda::ChunkSpan{0, 0});
    for (size_t c = 0; c < chunks.size(); ++c) {
      cuda::ChunkSpan& span = spans[static_cast<size_t>(chunks[c].record)];
      if (span.count++ == 0) span.first = static_cast<int64_t>(c);
    }
    use.spans = {spans, device_};
    use.sums = {chunks.size() * cuda::kChunkSums, device_};
    use.results = {tensors * cuda::kChunkSums, device_};
    use.tickets = {tensors + 1, device_};
  }
  const cuda::UpdateRecord* records_at(const Use& use, size_t pass) const {
    return reinterpret_cast<const cuda::UpdateRecord*>(step_table_.data() + use.at[pass]);
  }

  PassRecorder& at(size_t use, int pass) {
    return *uses_[use].recorders[static_cast<size_t>(pass)];
  }

  void launch(size_t index, int pass, const cuda::StepReport* report, bool posts) {
    const Use& use = uses_[index];
    const auto p = static_cast<size_t>(pass);
    const bool last = p + 1 == use.recorders.size();
    const std::vector<UpdateKernel>& kernels = use.recorders[p]->kernels();
    for (size_t rule = 0; rule < kernels.size(); ++rule) {
      cuda::UpdateLaunch args{};
      args.chunks = use.chunks.data();
      args.count = use.count;
      args.records = records_at(use, p);
      args.report = report;
      if (posts && last) args.post = reinterpret_cast<const cuda::PostNumbers*>(step_table_.data());
      args.results = use.results.data();
      args.sums = use.sums.data();
      args.spans = use.spans.data();
      args.tickets = use.tickets.data();
      args.record_count = static_cast<int32_t>(plan_.uses[index].tensors.size());
      args.rule = static_cast<int32_t>(rule);
      if (backend::profiling()) backend::note_work(use.recorders[p]->work(args.rule));
      kernels[rule](args);
    }
  }

  void read(char* to, const void* from, size_t bytes) const {
    backend::runtime(device_).copy(to, from, bytes, backend::CopyKind::device_to_host, {});
  }
  const cuda::StepReport& report() const {
    return *reinterpret_cast<const cuda::StepReport*>(answers_->data());
  }

  DevicePlan plan_;
  const ParamTable& table_;
  Device device_;
  std::vector<std::unique_ptr<DeviceChainPass>> chain_;
  std::vector<size_t> chain_at_;
  ParamTable::Buffer scratch_;
  std::vector<Use> uses_;
  size_t table_bytes_ = 0;
  std::unique_ptr<PinnedRing> ring_;
  DeviceArray<char> step_table_;
  DeviceArray<cuda::StepReport> report_;
  DeviceArray<double> norms_;
  std::unique_ptr<Pinned> answers_;
  std::vector<const void*> sources_;
};

void make_host(const DeviceHostArgs& args) {
  const auto it = device_hosts().find(args.name);
  if (it != device_hosts().end()) args.host = it->second(args.options);
}
void make_step(const DeviceStepArgs& args) {
  args.step = std::make_unique<CudaStep>(args.plan);
}

SING_CUDA_KERNEL(optim_host, make_host)
SING_CUDA_KERNEL(optim_step, make_step)

}  // namespace
}  // namespace sing::optim
