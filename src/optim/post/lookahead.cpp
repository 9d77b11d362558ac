// Lookahead (Zhang et al. 2019) as SING uses it: the slow copy is taken before the first step, the
// moments are left alone.
#include "optim/elementwise.h"
#include "sing/optim/post_step.h"

namespace sing::optim {
namespace {

template <class T>
struct SyncBody {
  struct Args {
    T* value;
    T* slow;
    int64_t begin, end;
    T alpha;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    T* const value = a.value;
    T* const slow = a.slow;
    const T alpha = a.alpha;
#pragma GCC ivdep
    for (int64_t i = a.begin; i < a.end; ++i)
      value[i] = slow[i] = slow[i] + alpha * (value[i] - slow[i]);
  }
};

class LookAhead final : public PostStep {
 public:
  LookAhead(const LookAheadOptions& options, const ParamTable& table)
      : options_(options), table_(table), slow_(table.make_buffer()) {}

  void begin_step() override {
    if (count_ == 0)
      for (size_t i = 0; i < slow_.slices.size(); ++i)
        slow_.slices[i].copy_from(table_.parameter(i).value);
    sync_ = (count_ + 1) % options_.every == 0;
  }

  void apply(const PostRange& r) override {
    if (!sync_) return;
    const void* slow = slow_.slices[r.index].raw();
    with_element(r.dtype, [&]<class T>() {
      run_best<SyncBody<T>>(typename SyncBody<T>::Args{
          static_cast<T*>(r.value), static_cast<T*>(const_cast<void*>(slow)), r.begin, r.end,
          static_cast<T>(options_.alpha)});
    });
  }

  void end_step() override { ++count_; }
  void undo_step() override { --count_; }
  Rule rule() const override {
    return {Kind::synchronise, sync_ ? std::optional(options_.alpha) : std::nullopt};
  }
  Tensor& state(size_t index) override { return slow_.slices[index]; }

  void visit_state(StateVisitor& visitor) override {
    // All groups step together, so one counter is the counter of each.
    visitor.visit("optimizer/lookahead/count", count_);
    for (size_t i = 0; i < slow_.slices.size(); ++i)
      visitor.visit("optimizer/" + table_.meta(i).name + "/slow", slow_.slices[i]);
  }

 private:
  LookAheadOptions options_;
  const ParamTable& table_;
  ParamTable::Buffer slow_;
  int64_t count_ = 0;  // steps made
  bool sync_ = false;
};

}  // namespace

std::unique_ptr<PostStep> make_lookahead(const LookAheadOptions& options, const ParamTable& table) {
  return std::make_unique<LookAhead>(options, table);
}

void LookAheadOptions::describe(config::Fields<LookAheadOptions>& f) {
  f("every", &LookAheadOptions::every, "steps between two synchronisations").positive();
  f("alpha", &LookAheadOptions::alpha, "how far the slow weights go")
      .range(0, 1, config::Ends::high);
}

}  // namespace sing::optim
