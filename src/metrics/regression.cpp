#include "sing/metrics/regression.h"

#include <vector>

#include "metrics/ratio.h"
#include "sing/config/schema.h"
#include "sing/core/thread_pool.h"

namespace sing::metrics {
namespace {

class MeanSquaredError : public MeanMetric {
 public:
  void add(const Batch& batch, const Tensor& prediction) override {
    const Tensor targets = host_floats(batch.targets());
    require(prediction.rank() > 0 && prediction.shape() == targets.shape(), "mse",
            "a prediction of the shape of the targets", prediction);
    const Tensor values = host_floats(prediction);
    const int64_t samples = values.size(0);
    const int64_t elements = samples == 0 ? 0 : values.numel() / samples;
    std::vector<double> sums(static_cast<size_t>(samples));
    parallel_for(samples, [&](int64_t i) {
      const float* p = values.data<float>() + i * elements;
      const float* t = targets.data<float>() + i * elements;
      double sum = 0;
      for (int64_t j = 0; j < elements; ++j) {
        const double difference = static_cast<double>(p[j]) - static_cast<double>(t[j]);
        sum += difference * difference;
      }
      sums[static_cast<size_t>(i)] = sum;
    });
    for (const double sum : sums) add_sum(sum, elements);
  }
};

struct NoOptions {
  static void describe(config::Fields<NoOptions>&) {}
};
const bool registered =
    metric_kind().add<NoOptions>("mse", "mean squared error over all elements, in target units",
                                 [](const NoOptions&) { return mean_squared_error(); });

}  // namespace

std::unique_ptr<Metric> mean_squared_error() {
  return std::make_unique<MeanSquaredError>();
}

}  // namespace sing::metrics
