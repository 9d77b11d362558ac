#include "sing/nn/models/model_options.h"

#include <string>

#include "sing/core/error.h"

namespace sing::nn {
namespace {

int64_t pick(const char* key, const std::optional<int64_t>& option, int64_t data) {
  if (option && data != 0 && *option != data)
    throw ConfigError("model." + std::string(key) + " is " + std::to_string(*option) +
                          " but the data set has " + std::to_string(data),
                      std::string("model.") + key, "leave the key out: the data set says it",
                      "E0231");
  const int64_t value = option.value_or(data);
  if (value <= 0)
    throw ConfigError("model." + std::string(key) + " is needed: the data set does not say it",
                      std::string("model.") + key, {}, "E0234");
  return value;
}

}  // namespace

DataShape resolve_shape(const ModelOptions& options, const DataShape& data) {
  DataShape shape;
  shape.head = options.head.value_or(data.head);
  if (data.outputs != 0 && shape.head != data.head)
    throw ConfigError(std::string("model.head does not fit the data set, which has ") +
                          (data.head == Head::classifier ? "classes" : "images") + " as targets",
                      "model.head", "leave the key out: the data set says it", "E0231");
  shape.channels = pick("in_channels", options.in_channels, data.channels);
  shape.height = pick("image_size", options.image_size, data.height);
  shape.width = pick("image_size", options.image_size, data.width);
  shape.outputs = shape.head == Head::classifier
                      ? pick("num_classes", options.num_classes, data.outputs)
                      : pick("out_channels", options.out_channels, data.outputs);
  return shape;
}

}  // namespace sing::nn
