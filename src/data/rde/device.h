#pragma once
#include <memory>
#include <span>

#include "sing/data/dataset.h"
#include "sing/data/rde.h"

namespace sing::data::rde {

/// Paints the pictures of `scenes` on `device`, to the bytes of paint_image and paint_target:
/// batches hold "inputs" and "targets", (B, 1, S, S) f32. With `with_answers` also "ids", "levels"
/// and "boxes". nullptr when the device has no kernel for it.
SING_API std::unique_ptr<BatchMaker> device_painter(Device device, std::span<const Scene> scenes,
                                                    const Options& options, Variant variant,
                                                    bool normalize, bool with_answers);

}  // namespace sing::data::rde
