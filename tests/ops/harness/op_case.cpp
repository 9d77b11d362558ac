#include "support/op_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/harness/checks.h"

namespace sing::test {
namespace {

struct Entry {
  const char* name;
  CaseBody body;
};
std::vector<Entry>& entries() {
  static std::vector<Entry> all;
  return all;
}

class CaseTest : public ::testing::Test {
 public:
  CaseTest(Entry entry, void (*check)(const OpCase&)) : entry_(entry), check_(check) {}
  void TestBody() override {
    OpCase c(entry_.name);
    entry_.body(c);
    check_(c);
  }

 private:
  Entry entry_;
  void (*check_)(const OpCase&);
};

double default_epsilon(DType dtype) {
  // The gap between 1 and the next number, halved: what one rounding costs.
  switch (dtype) {
    case DType::f64:
      return 0x1p-53;
    case DType::f32:
      return 0x1p-24;
    case DType::f16:
      return 0x1p-11;
    default:
      return 0x1p-8;
  }
}

}  // namespace

const char* name_of(Layout layout) {
  switch (layout) {
    case Layout::dense:
      return "dense";
    case Layout::permuted:
      return "permuted";
    case Layout::sliced:
      return "sliced";
    case Layout::expanded:
      return "expanded";
    case Layout::channels_last:
      return "channels_last";
  }
  return "?";
}

void OpCase::covers(std::initializer_list<const char*> slots) {
  for (const char* slot : slots) covers_.insert(slot);
}

void OpCase::sample(std::string name, std::vector<InputSpec> inputs, OpFunction op,
                    Formula formula) {
  samples_.push_back({std::move(name), std::move(inputs), std::move(op), std::move(formula)});
}

void OpCase::tolerance(DType dtype, double relative) {
  tolerances_.emplace_back(dtype, relative);
}

std::vector<Layout> OpCase::layouts(const Sample& sample) const {
  std::vector<Layout> found{Layout::dense};
  const auto offer = [&](Layout layout, auto fits) {
    if (!without_.contains(layout) && std::any_of(sample.inputs.begin(), sample.inputs.end(), fits))
      found.push_back(layout);
  };
  offer(Layout::permuted, [](const InputSpec& s) { return s.shape.rank() >= 2; });
  offer(Layout::sliced, [](const InputSpec&) { return true; });
  const bool may_repeat =
      std::none_of(sample.inputs.begin(), sample.inputs.end(),
                   [](const InputSpec& s) { return s.fill.kind == Fill::Kind::distinct; });
  if (may_repeat)
    offer(Layout::expanded,
          [](const InputSpec& s) { return s.shape.rank() >= 1 && s.shape[0] > 1; });
  offer(Layout::channels_last, [](const InputSpec& s) { return s.shape.rank() == 4; });
  return found;
}

double OpCase::allowed(DType dtype, double largest_dim, double largest_to_smallest) const {
  for (const auto& [of, relative] : tolerances_)
    if (of == dtype) return relative;
  const double k = terms_ ? *terms_ : std::max({1.0, largest_dim, largest_to_smallest});
  return 8 * default_epsilon(dtype) * (dtype == DType::f32 ? std::sqrt(k) : 1.0);
}

bool register_op_case(const char* name, CaseBody body, const char* file, int line) {
  const Entry entry{name, body};
  entries().push_back(entry);
  for (const Check& check : battery())
    ::testing::RegisterTest(
        (std::string("OpCase/") + name).c_str(), check.name, nullptr, nullptr, file, line,
        [entry, run = check.run]() -> ::testing::Test* { return new CaseTest(entry, run); });
  return true;
}

std::vector<OpCase> all_op_cases() {
  std::vector<OpCase> cases;
  for (const Entry& entry : entries()) {
    cases.emplace_back(entry.name);
    entry.body(cases.back());
  }
  return cases;
}

void check_rejects(const OpCase& c) {
  EXPECT_FALSE(c.rejections().empty()) << c.name() << ": no rejected argument is tested";
  for (const Rejection& rejection : c.rejections())
    EXPECT_EQ(rejection.run(), "") << c.name() << ": wanted \"" << rejection.wanted << '"';
}

}  // namespace sing::test
