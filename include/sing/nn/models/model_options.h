#pragma once
#include <optional>
#include <string>

#include "sing/nn/model.h"

namespace sing::nn {

/// Keys that every model has. Sizes that are absent come from the data set.
struct ModelOptions {
  std::optional<Head> head;
  std::optional<int64_t> image_size, in_channels, out_channels, num_classes;
  /// For the trainer: a safetensors file or a run whose weights to start from.
  std::optional<std::string> init_from;
};

/// Lays the options over what the data set says. Throws ConfigError E0231 when they contradict each
/// other, E0234 when neither says.
SING_API DataShape resolve_shape(const ModelOptions& options, const DataShape& data);

/// The keys of ModelOptions as keys of T, which derives from it.
template <class T>
void describe_model(config::Fields<T>& f) {
  const char* note = "from the data set";
  f("head", &T::head, "what comes out of the model").default_note("what the data set is for");
  f("image_size", &T::image_size, "height and width of square images")
      .range(1, 16384)
      .unit("pixels")
      .default_note(note);
  f("in_channels", &T::in_channels, "channels of the input").range(1, 4096).default_note(note);
  f("out_channels", &T::out_channels, "channels of the image that comes out")
      .range(1, 4096)
      .default_note(note);
  f("num_classes", &T::num_classes, "classes of the classifier")
      .range(1, 10'000'000)
      .default_note(note);
  f("init_from", &T::init_from, "safetensors file, run or checkpoint to take first weights from");
}

}  // namespace sing::nn
