#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "sing/data/rde.h"
#include "sing/data/source.h"

namespace sing::data {

/// Where a data set that can be made on the training device is made.
enum class OnDevice : uint8_t { automatic, off };
inline config::EnumNames<OnDevice> enum_names(OnDevice) {
  return {{"auto", OnDevice::automatic}, {"off", OnDevice::off}};
}

/// Options of data set `rde`. Unset lengths and counts are those of the preset.
struct SING_API RdeOptions : BatchOptions {
  std::string preset = "full";
  rde::Variant variant = rde::Variant::outline;
  int64_t train_size = 50000, val_size = 2000, test_size = 10000;
  uint64_t seed = 0;       ///< of the scenes; the run's seed does not change them
  bool normalize = false;  ///< inputs in [-1, 1] instead of [0, 1]
  std::optional<int> size, rectangles_min, rectangles_max, side_min, side_max, gap;
  std::optional<double> depth_scale;
  OnDevice on_device = OnDevice::automatic;

  static void describe(config::Fields<RdeOptions>& f);
};

/// The preset with what the options change, validated. Throws ConfigError E0260 or E0262.
SING_API rde::Options scene_options(const RdeOptions& options);

/// Rectangle depth estimation (sing/data/rde.h). Fields: inputs and targets (1, S, S) f32, ids
/// (S, S) u8, levels (16) u8 with 0 past the last rectangle, boxes (16, 4) u8 as x0 y0 x1 y1;
/// constant depth_scale f64. Scenes are drawn here, pictures when they are asked for.
SING_API std::shared_ptr<const Dataset> rde_dataset(const RdeOptions& options, Split split);

}  // namespace sing::data
