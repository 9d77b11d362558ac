#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sing/config/component.h"
#include "sing/config/schema.h"
#include "sing/core/export.h"
#include "sing/nn/module.h"
#include "sing/tensor/batch.h"

namespace sing::nn {

/// What comes out of a model, and what a data set or a loss wants.
enum class Head : uint8_t {
  image_to_image,  ///< images (N, C, H, W) -> images (N, outputs, H, W)
  classifier,      ///< images (N, C, H, W) -> scores (N, outputs)
};
inline config::EnumNames<Head> enum_names(Head) {
  return {{"image_to_image", Head::image_to_image}, {"classifier", Head::classifier}};
}

/// What a data set tells about its samples, so that a config need not say it again. 0 where it does
/// not know: then the model's own option is needed. An option that contradicts it is an error.
struct DataShape {
  int64_t channels = 0, height = 0, width = 0;
  Head head = Head::image_to_image;
  int64_t outputs = 0;  ///< channels of the target image, or classes
};

/// What the trainer trains. The loss is a component of its own (sing/nn/loss.h), so that any model
/// goes with any loss for its kind of output:
///
///   Tensor output = model.forward_batch(batch);
///   Tensor loss = loss_function.forward(output, batch);
///   loss.backward();
class SING_API Model : public Module {
 public:
  explicit Model(const DataShape& shape) : shape_(shape) {}
  ~Model() override;

  /// (N, channels, height, width), floating -> see Head. Some models take other sizes than they
  /// were made for; the others throw ShapeError.
  virtual Tensor forward(const Tensor& input) = 0;
  /// The prediction for a batch. Models that read more than batch.inputs() override this.
  virtual Tensor forward_batch(const Batch& batch);

  /// Everything resolved: what the options and the data set say together.
  const DataShape& shape() const { return shape_; }
  /// Multiply-adds of one forward pass of one sample, matrix products and convolutions only.
  virtual int64_t forward_macs() const = 0;
  /// Activation recomputation (train.recompute: all) where the model knows how; false when it does
  /// not.
  virtual bool set_recompute(bool on);
  /// Names and numbers worth a place in each training record, as they are now.
  using Gauges = std::vector<std::pair<std::string, double>>;
  virtual Gauges gauges() const { return {}; }

 private:
  DataShape shape_;
};

/// A count of multiply-adds as an integer; what does not fit is as many as fit.
SING_API int64_t whole_macs(double macs);

using ModelKind = config::ComponentKind<std::unique_ptr<Model>(const DataShape&)>;
/// config::Component<nn::model_kind> is the `model:` key. Making one throws ConfigError:
///   E0230 the image does not divide into patches   E0231 an option contradicts the data set
///   E0232 the model has no such head               E0233 heads do not divide dim
///   E0234 neither the options nor the data set say a size
SING_API ModelKind& model_kind();

}  // namespace sing::nn
