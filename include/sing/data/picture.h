#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "sing/core/export.h"
#include "sing/data/dataset.h"
#include "sing/data/image_io.h"
#include "sing/tensor/tensor.h"

namespace sing::data {

using Colour = std::array<uint8_t, 3>;  ///< red, green, blue

/// An RGB image that can be drawn on; write_png (sing/data/image_io.h) takes it as it is.
struct SING_API Picture : Image8 {
  Picture() = default;
  Picture(int64_t w, int64_t h, Colour fill);
  Colour at(int64_t x, int64_t y) const;
  void set(int64_t x, int64_t y, Colour colour);
  /// Copies `part` with its upper left corner at (x, y); it must fit.
  void paste(const Picture& part, int64_t x, int64_t y);
};

/// The viridis scale (van der Walt and Smith 2015), dark blue at 0 to yellow at 1. Values outside
/// take the end colours, NaN magenta.
SING_API Colour scale_colour(double value);

struct PanelOptions {
  int64_t rows = 8;        ///< samples shown at most
  int64_t tile_side = 96;  ///< tiles are enlarged by whole factors to about this
};

/// What a model makes of its inputs, one sample a row. Image targets (B, 1, H, W): input, truth and
/// prediction side by side, the latter two on one colour scale that spans the truths shown (as
/// figure 5 of the SING paper). Labels (B) i64 with logits (B, C): the inputs in frames, green
/// where the highest logit is right, red where not. Inputs: (B, C, H, W) with 1 or at least 3
/// channels. Throws ShapeError when the tensors do not fit together.
SING_API Picture prediction_panel(const Tensor& inputs, const Tensor& targets,
                                  const Tensor& predictions, const PanelOptions& options = {});

/// Samples first .. first + count - 1 in a grid, each as input and, for image targets, target.
/// Throws ConfigError E0267 when the data set has fewer, or its inputs are no images.
SING_API Picture preview(const Dataset& dataset, int64_t first, int64_t count,
                         const PanelOptions& options = {});
/// The same as a PNG file. Throws CheckpointError E0401 when it cannot be written.
SING_API void preview_png(const Dataset& dataset, int64_t first, int64_t count,
                          const std::string& path);

}  // namespace sing::data
