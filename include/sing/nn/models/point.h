#pragma once
#include "sing/nn/models/model_options.h"

namespace sing::nn {

struct PointOptions : ModelOptions {
  double start = 0;
  static void describe(config::Fields<PointOptions>& f);
};

/// The parameters are the prediction: one image (outputs, H, W), the same for every input, all of
/// its elements `start` at first. Registered as point. Parameter `point`, flat.
class SING_API Point : public Model {
 public:
  Point(const PointOptions& options, const DataShape& data);
  Tensor forward(const Tensor& input) override;
  int64_t forward_macs() const override { return 0; }
  Gauges gauges() const override;
  double start() const { return start_; }

 private:
  double start_;
  Parameter& point_;
};

}  // namespace sing::nn
