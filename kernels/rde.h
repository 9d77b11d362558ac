#pragma once
#include <cstdint>

#include "sing/backend/kernel_slot.h"

namespace sing::kernels {

inline constexpr int kRdeRectangles = 16;

/// A scene of rectangles as it lies in device memory; the layout of data::rde::Scene.
struct RdeScene {
  uint8_t boxes[kRdeRectangles][4];  ///< x0, y0, x1, y1, ends included; later ones hide earlier
  uint8_t levels[kRdeRectangles];    ///< 1..16
  uint8_t greys[kRdeRectangles];     ///< 1..16
  uint16_t drawings;
  uint8_t count;
};

/// Paints the scenes index[0..batch) of a table. Every output is `=` and may be nullptr.
struct RdeRenderArgs {
  const RdeScene* scenes;  ///< [scene_count]
  int64_t scene_count;
  const int64_t* index;  ///< [batch], in 0..scene_count - 1
  int64_t batch;
  int size;      ///< of an image, at most 256
  bool outline;  ///< borders of the visible rectangles, else their greys
  /// What a pixel holds: [0] no line and [1] line for outlines, else by grey, [0] the background.
  float image_values[kRdeRectangles + 1];
  float target_values[kRdeRectangles + 1];  ///< by level, [0] the background
  float* image;                             ///< [batch, size, size]
  float* target;                            ///< [batch, size, size]
  uint8_t* ids;                             ///< [batch, size, size]; 1 + number of the rectangle
  uint8_t* levels;                          ///< [batch, 16]
  uint8_t* boxes;                           ///< [batch, 16, 4]
  Stream stream;
};

SING_DECLARE_SLOT(data_rde_render, RdeRenderArgs)

}  // namespace sing::kernels
