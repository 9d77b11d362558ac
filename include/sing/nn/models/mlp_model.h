#pragma once
#include <vector>

#include "sing/nn/dropout.h"
#include "sing/nn/linear.h"
#include "sing/nn/models/model_options.h"

namespace sing::nn {

enum class HiddenActivation : uint8_t { relu, gelu };
inline config::EnumNames<HiddenActivation> enum_names(HiddenActivation) {
  return {{"relu", HiddenActivation::relu}, {"gelu", HiddenActivation::gelu}};
}

struct MlpModelOptions : ModelOptions {
  std::vector<int64_t> hidden{256};
  HiddenActivation activation = HiddenActivation::relu;
  double dropout = 0;
  static void describe(config::Fields<MlpModelOptions>& f);
};

/// Plain network on flattened images, registered as mlp. Names layers.N, head; PyTorch's default
/// first values.
class SING_API MlpModel : public Model {
 public:
  MlpModel(const MlpModelOptions& options, const DataShape& data);
  Tensor forward(const Tensor& input) override;
  int64_t forward_macs() const override;

 private:
  ops::Activation activation_;
  std::vector<Linear*> layers_;
  std::vector<Dropout*> drops_;
  Linear* head_;
};

}  // namespace sing::nn
