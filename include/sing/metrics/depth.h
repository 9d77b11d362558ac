#pragma once
#include <memory>

#include "sing/config/schema.h"
#include "sing/metrics/metric.h"

namespace sing::metrics {

struct DepthOptions {
  bool count_background = false;  ///< the background counts as one more rectangle, of level 0

  static void describe(config::Fields<DepthOptions>& f) {
    f("count_background", &DepthOptions::count_background,
      "judge the background as one more rectangle, of level 0");
  }
};

/// Share of images in which every rectangle is right: depth_scale x the mean prediction over its
/// visible pixels is less than half a level from its level (strictly; NaN and Inf are wrong).
/// The measure of the SING paper, supplement C.1. Needs of the batch "ids" (B, S, S) u8 with
/// rectangle k as k + 1 and 0 outside, "levels" (B, K) u8 with 0 past the last rectangle, and
/// "depth_scale" (); prediction (B, 1, S, S) in target units.
SING_API std::unique_ptr<Metric> depth_accuracy(const DepthOptions& options = {});
/// Share of right rectangles of all images, by the same rule.
SING_API std::unique_ptr<Metric> rectangle_accuracy(const DepthOptions& options = {});

}  // namespace sing::metrics
