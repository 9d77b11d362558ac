#include "sing/nn/loss.h"

#include "sing/autograd/autocast.h"
#include "sing/core/error.h"
#include "sing/ops/loss.h"

namespace sing::nn {
namespace {

// Outputs in bf16 or f16 are compared with their targets in f32.
Tensor wide(const Tensor& output) {
  return output.dtype() == DType::f64 ? output : autocast::cast(output, DType::f32);
}

using Compare = Tensor (*)(const Tensor&, const Tensor&, ops::Reduction);

class ImageLoss : public Loss {
 public:
  ImageLoss(const char* name, Compare compare) : name_(name), compare_(compare) {}
  Tensor forward(const Tensor& output, const Tensor& targets) const override {
    const Tensor prediction = wide(output);
    return compare_(prediction, targets.to(prediction.dtype()), ops::Reduction::mean);
  }
  void check(Head head) const override {
    if (head != Head::image_to_image)
      throw ConfigError(std::string("loss '") + name_ + "' compares images, not class scores",
                        "loss.name", "use cross_entropy for head: classifier", "E0235");
  }

 private:
  const char* name_;
  Compare compare_;
};

struct NoOptions {
  static void describe(config::Fields<NoOptions>&) {}
};

class CrossEntropyLoss : public Loss {
 public:
  explicit CrossEntropyLoss(const CrossEntropyLossOptions& options)
      : options_{.label_smoothing = options.label_smoothing, .ignore_index = options.ignore_index} {
  }
  Tensor forward(const Tensor& output, const Tensor& targets) const override {
    return ops::cross_entropy(wide(output), targets, options_);
  }
  void check(Head head) const override {
    if (head != Head::classifier)
      throw ConfigError("loss 'cross_entropy' compares class scores, not images", "loss.name",
                        "use mse or l1 for head: image_to_image", "E0235");
  }

 private:
  ops::CrossEntropyOptions options_;
};

}  // namespace

Loss::~Loss() = default;

void CrossEntropyLossOptions::describe(config::Fields<CrossEntropyLossOptions>& f) {
  f("label_smoothing", &CrossEntropyLossOptions::label_smoothing,
    "share of the target spread over all classes")
      .fraction();
  f("ignore_index", &CrossEntropyLossOptions::ignore_index, "rows with this label do not count");
}

LossKind& loss_kind() {
  static LossKind kind("loss");
  return kind;
}

namespace {
const bool kRegistered =
    loss_kind().add<NoOptions>("mse", "mean squared difference of images",
                               [](const NoOptions&) -> std::unique_ptr<Loss> {
                                 return std::make_unique<ImageLoss>("mse", &ops::mse_loss);
                               }) &&
    loss_kind().add<NoOptions>("l1", "mean absolute difference of images",
                               [](const NoOptions&) -> std::unique_ptr<Loss> {
                                 return std::make_unique<ImageLoss>("l1", &ops::l1_loss);
                               }) &&
    loss_kind().add<CrossEntropyLossOptions>(
        "cross_entropy", "softmax cross entropy of class scores",
        [](const CrossEntropyLossOptions& o) -> std::unique_ptr<Loss> {
          return std::make_unique<CrossEntropyLoss>(o);
        });
}  // namespace

}  // namespace sing::nn
