#include <fmt/format.h>

#include "sing/core/error.h"
#include "sing/core/suggest.h"
#include "sing/data/rde.h"

namespace sing::data::rde {
namespace {

struct NamedOptions {
  const char* name;
  Options options;
};
constexpr NamedOptions kPresets[] = {
    {"full", {128, 6, 10, 16, 72, 2, 8}},
    {"mid", {64, 4, 7, 10, 36, 2, 6}},
    {"quick", {24, 3, 3, 6, 16, 2, 4}},
};

[[noreturn]] void refuse(std::string what, std::string hint) {
  throw ConfigError("rde: " + what, {}, std::move(hint), "E0260");
}

[[noreturn]] void unknown(const char* kind, std::string_view name,
                          const std::vector<std::string>& known) {
  const std::string near = nearest_name(name, known);
  throw ConfigError(
      fmt::format("rde: unknown {} '{}'; known: {}", kind, name, fmt::join(known, ", ")), {},
      near.empty() ? "" : "did you mean '" + near + "'?", "E0262");
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const NamedOptions& entry : kPresets) names.emplace_back(entry.name);
  return names;
}

Options preset(std::string_view name) {
  for (const NamedOptions& entry : kPresets)
    if (name == entry.name) return entry.options;
  unknown("preset", name, preset_names());
}

std::string_view name_of(Variant variant) {
  return variant == Variant::outline ? "outline" : "filled";
}

Variant variant_from_name(std::string_view name) {
  for (const Variant variant : {Variant::outline, Variant::filled})
    if (name == name_of(variant)) return variant;
  unknown("variant", name, {"outline", "filled"});
}

void validate(const Options& o) {
  if (o.size > kMaxSize)
    refuse(fmt::format("image size {} is above {}", o.size, kMaxSize), "use a smaller size");
  if (o.side_min < 4)
    refuse(fmt::format("the smallest side is {}, below 4: no inside is left to see", o.side_min),
           "raise side_min to 4 or more");
  if (o.side_max < o.side_min)
    refuse(fmt::format("side_max {} is below side_min {}", o.side_max, o.side_min), "swap them");
  if (o.side_max > o.size - 2)
    refuse(fmt::format("the largest side {} does not fit into an image of {} with a free border",
                       o.side_max, o.size),
           fmt::format("side_max may be at most {}", o.size - 2));
  if (o.rectangles_min < 1)
    refuse(fmt::format("rectangles_min is {}; an image needs at least 1", o.rectangles_min),
           "raise rectangles_min");
  if (o.rectangles_max < o.rectangles_min)
    refuse(fmt::format("rectangles_max {} is below rectangles_min {}", o.rectangles_max,
                       o.rectangles_min),
           "swap them");
  if (o.rectangles_max > kMaxRectangles)
    refuse(fmt::format("rectangles_max is {}; there are only {} greys", o.rectangles_max,
                       kMaxRectangles),
           fmt::format("rectangles_max may be at most {}", kMaxRectangles));
  if (o.gap < 2)
    refuse(fmt::format("gap is {}, below 2: edges side by side leave the answer open", o.gap),
           "raise gap to 2 or more");
  if (!(o.depth_scale > 0))
    refuse(fmt::format("depth_scale is {}; it must be above 0", o.depth_scale),
           "use the highest level you expect");
}

}  // namespace sing::data::rde
