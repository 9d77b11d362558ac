// Data for functions of the parameters alone: nothing to learn from but one number.
#include <fmt/format.h>

#include "sing/data/dataset.h"
#include "sing/data/source.h"

namespace sing::data {
namespace {

struct ConstantOptions : BatchOptions {
  int64_t train_size = 1;
  double input = 0, target = 0;

  static void describe(config::Fields<ConstantOptions>& f) {
    f("train_size", &ConstantOptions::train_size, "samples of an epoch, all the same")
        .range(1, 1 << 28);
    f("input", &ConstantOptions::input, "the input");
    f("target", &ConstantOptions::target, "the target");
    f.base<BatchOptions>();
  }
};

std::vector<Field> constant_fields() {
  return {{"inputs", {1, 1, 1}, DType::f32}, {"targets", {1, 1, 1}, DType::f32}};
}

class Constant final : public Dataset {
 public:
  Constant(const ConstantOptions& options, int64_t size)
      : options_(options), size_(size), fields_(constant_fields()) {}
  std::string name() const override { return "constant"; }
  int64_t size() const override { return size_; }
  const std::vector<Field>& fields() const override { return fields_; }
  void get(const SampleKey&, std::span<void* const> out) const override {
    *static_cast<float*>(out[0]) = static_cast<float>(options_.input);
    *static_cast<float*>(out[1]) = static_cast<float>(options_.target);
  }
  std::string fingerprint() const override {
    return fmt::format("constant/1 input={} target={} samples={}", options_.input, options_.target,
                       size_);
  }

 private:
  ConstantOptions options_;
  int64_t size_;
  std::vector<Field> fields_;
};

class ConstantSource final : public Source {
 public:
  explicit ConstantSource(const ConstantOptions& options) : options_(options) {}
  std::string summary() const override { return "one number"; }
  const BatchOptions& batches() const override { return options_; }
  int64_t size(Split split) const override {
    return split == Split::train ? options_.train_size : 1;
  }
  std::vector<Field> fields() const override { return constant_fields(); }
  std::shared_ptr<const Dataset> open(Split split) const override {
    return std::make_shared<Constant>(options_, size(split));
  }

 private:
  ConstantOptions options_;
};

const bool registered = dataset_registry().add<ConstantOptions>(
    "constant", "one number as input and one as target; for functions of the parameters alone",
    [](const ConstantOptions& options) { return std::make_unique<ConstantSource>(options); });

}  // namespace
}  // namespace sing::data
