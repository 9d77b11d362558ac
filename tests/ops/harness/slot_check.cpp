// What runs: claimed slots are called, fast kernels serve something, inputs stay as they were, the
// number of threads changes no bit; and the battery as a whole leaves no slot out.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "ops/harness/checks.h"
#include "sing/backend/kernel_slot.h"
#include "sing/core/thread_pool.h"

namespace sing::test {
namespace {

using backend::SlotBase;

class ThreadsGuard {
 public:
  explicit ThreadsGuard(int n) : before_(num_threads()) { set_num_threads(n); }
  ~ThreadsGuard() { set_num_threads(before_); }

 private:
  int before_;
};

/// Equal as bits: NaN would not be equal to itself, and -0 is not 0.
bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

std::vector<Run> run_all(const OpCase& c, DType dtype, int threads) {
  const ThreadsGuard guard(threads);
  std::vector<Run> runs;
  for (const Sample& sample : c.samples())
    runs.push_back(run(c, Prepared(c, sample, Layout::dense), dtype, Layout::dense));
  return runs;
}

void check_threads(const OpCase& c) {
  const std::vector<Run> one = run_all(c, DType::f32, 1), three = run_all(c, DType::f32, 3);
  for (size_t s = 0; s < one.size(); ++s) {
    EXPECT_TRUE(same_bits(one[s].output, three[s].output))
        << c.name() << ", sample " << c.samples()[s].name << ": output depends on threads";
    for (size_t k = 0; k < one[s].gradients.size(); ++k)
      EXPECT_TRUE(same_bits(one[s].gradients[k], three[s].gradients[k]))
          << c.name() << ", sample " << c.samples()[s].name << ": gradient " << k
          << " depends on threads";
  }
}

void check_inputs_untouched(const OpCase& c, const Sample& sample) {
  const Prepared p(c, sample, Layout::dense);
  const Inputs inputs = p.tensors(DType::f32, Layout::dense);
  std::vector<uint32_t> before;
  for (const InputSpec& spec : sample.inputs)
    before.push_back(inputs[spec.name].storage()->version());
  sample.op(inputs);
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_EQ(inputs[sample.inputs[i].name].storage()->version(), before[i])
        << c.name() << " writes to its input " << sample.inputs[i].name;
}

}  // namespace

void check_slots(const OpCase& c) {
  std::map<std::string, const SlotBase*> slots;
  for (const SlotBase* slot : SlotBase::all()) slots[slot->name()] = slot;
  std::map<std::string, std::pair<int64_t, int64_t>> before;
  for (const std::string& name : c.covered()) {
    ASSERT_TRUE(slots.contains(name)) << c.name() << " covers the unknown slot " << name;
    before[name] = {slots[name]->calls(), slots[name]->fast_calls()};
  }
  int ran = 0;
  for (const Sample& sample : c.samples()) {
    check_inputs_untouched(c, sample);
    for (const Layout layout : c.layouts(sample)) {
      ++ran;
      for (const DType dtype : c.dtypes()) run(c, Prepared(c, sample, layout), dtype, layout);
    }
  }
  EXPECT_GE(ran, 12) << c.name() << ": too few samples";
  for (const std::string& name : c.covered()) {
    EXPECT_GT(slots[name]->calls(), before[name].first)
        << c.name() << " claims to cover " << name << " but never calls it";
    if (c.wants_fast_kernels() && !slots[name]->fast_names().empty()) {
      EXPECT_GT(slots[name]->fast_calls(), before[name].second)
          << c.name() << ": no fast kernel of " << name << " serves any sample";
    }
  }
  if (c.check_threads()) check_threads(c);
}

// Slots of optimizers have their own battery (tests/optim): they update in place and have no
// gradient. Those of data sets are compared with the host's bytes (tests/cuda).
TEST(OpCases, EverySlotHasACase) {
  std::set<std::string> covered;
  for (const OpCase& c : all_op_cases()) covered.insert(c.covered().begin(), c.covered().end());
  int registered = 0, checked = 0, optimizers = 0;
  for (const SlotBase* slot : SlotBase::all()) {
    if (std::string(slot->name()).starts_with("data_")) continue;
    if (std::string(slot->name()).starts_with("optim_")) {
      ++optimizers;
      continue;
    }
    ++registered;
    const bool found = covered.contains(slot->name());
    if (found) ++checked;
    EXPECT_TRUE(found) << "the slot " << slot->name() << " has no op case (tests/ops/cases)";
  }
  std::printf("ops: registered %d slots, checked %d (and %d of optimizers, checked by theirs)\n",
              registered, checked, optimizers);
  EXPECT_GT(registered, 0);
}

}  // namespace sing::test
