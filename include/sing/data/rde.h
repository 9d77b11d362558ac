#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sing/core/export.h"
#include "sing/data/split.h"

/// RDE, rectangle depth estimation: pictures of overlapping rectangles, the depth of each to be
/// read from them. A re-creation of the data set of Courtois, Morel and Arias 2022
/// (arXiv 2204.11045, no generator published); datasets/rde/README.md defines every step.
/// Scenes are integers all through, so (options, seed, split, index) gives the same scene on every
/// platform and for every thread count. This layer writes into the caller's buffers only.
namespace sing::data::rde {

inline constexpr int kMaxRectangles = 16;  ///< one grey value each
inline constexpr int kMaxSize = 256;       ///< coordinates are bytes

/// outline: visible borders drawn in 1, everything else 0. filled: every rectangle in its grey.
enum class Variant : uint8_t { outline, filled };
SING_API std::string_view name_of(Variant variant);
/// Throws ConfigError E0262.
SING_API Variant variant_from_name(std::string_view name);

/// What the generator draws from. All bounds are inclusive, lengths in pixels.
struct Options {
  int size = 128;                               ///< image side
  int rectangles_min = 6, rectangles_max = 10;  ///< rectangles of an image
  int side_min = 16, side_max = 72;             ///< rectangle sides
  int gap = 2;             ///< least distance between two edge lines of one direction
  double depth_scale = 8;  ///< target = level / depth_scale

  friend bool operator==(const Options&, const Options&) = default;
};

/// "full", "mid" or "quick". Throws ConfigError E0262 for another name.
SING_API Options preset(std::string_view name);
SING_API std::vector<std::string> preset_names();
/// Throws ConfigError E0260 when the options cannot give decidable scenes.
SING_API void validate(const Options& options);

/// Covers columns x0..x1 and rows y0..y1, both ends included; x to the right, y down.
struct Box {
  uint8_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  friend bool operator==(Box, Box) = default;
};

/// All that has to be kept of an image: 100 bytes. Rectangle k (in painting order, later hides
/// earlier) has id k + 1 in id maps; id 0 is the background.
struct Scene {
  std::array<Box, kMaxRectangles> boxes{};
  std::array<uint8_t, kMaxRectangles> levels{};  ///< 1 + longest chain of visible occlusions below
  std::array<uint8_t, kMaxRectangles> greys{};   ///< 1..16, all different
  uint16_t drawings = 0;                         ///< attempts it took (1 + restarts)
  uint8_t count = 0;                             ///< rectangles

  friend bool operator==(const Scene&, const Scene&) = default;
};

/// The scene number `index` of a split. `options` must have passed validate().
/// Throws ConfigError E0261 after 10,000 restarts (a preset too crowded to be drawn).
SING_API Scene generate(const Options& options, uint64_t seed, Split split, uint64_t index);
/// Scenes first .. first + count - 1, made by all threads.
SING_API std::vector<Scene> generate_range(const Options& options, uint64_t seed, Split split,
                                           uint64_t first, int64_t count);

/// Id of the visible rectangle at each pixel: (size, size) u8, row-major.
SING_API void paint_ids(const Scene& scene, int size, uint8_t* ids);
/// The network's input: (size, size) f32 in [0, 1].
SING_API void paint_image(const Scene& scene, int size, Variant variant, float* image);
/// The depth to predict: (size, size) f32, level / depth_scale; above 1 for levels beyond the
/// scale (not clipped), 0 on the background.
SING_API void paint_target(const Scene& scene, int size, double depth_scale, float* target);

}  // namespace sing::data::rde
