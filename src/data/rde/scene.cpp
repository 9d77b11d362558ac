#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <optional>

#include "data/rde/occlusion.h"
#include "data/rde/stream.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/data/rde.h"

namespace sing::data::rde {
namespace {

constexpr int kTries = 100;  // placements tried for one rectangle before starting over
constexpr int kMaxRestarts = 10000;
constexpr int64_t kGrain = 64;  // scenes a thread draws at a time

bool contains(Box box, int x, int y) {
  return x >= box.x0 && x <= box.x1 && y >= box.y0 && y <= box.y1;
}

/// The corners of `box` that lie under `top`, as a set of four bits.
unsigned covered_corners(Box box, Box top) {
  return static_cast<unsigned>(contains(top, box.x0, box.y0)) |
         static_cast<unsigned>(contains(top, box.x1, box.y0)) << 1 |
         static_cast<unsigned>(contains(top, box.x0, box.y1)) << 2 |
         static_cast<unsigned>(contains(top, box.x1, box.y1)) << 3;
}

/// Edge lines of one direction keep their distance: no two coincide or run side by side.
bool apart(Box a, Box b, int gap) {
  const auto far = [gap](int p, int q) { return std::abs(p - q) >= gap; };
  return far(a.x0, b.x0) && far(a.x0, b.x1) && far(a.x1, b.x0) && far(a.x1, b.x1) &&
         far(a.y0, b.y0) && far(a.y0, b.y1) && far(a.y1, b.y0) && far(a.y1, b.y1);
}

/// One drawing in progress. A box is accepted only while every earlier one keeps three corners.
class Drawing {
 public:
  Drawing(const Options& options, Stream& stream, Scene& scene)
      : options_(options), stream_(stream), scene_(scene) {
    scene_.count = 0;
  }

  bool place_one() {
    for (int i = 0; i < kTries; ++i)
      if (accept(draw())) return true;
    return false;
  }

 private:
  Box draw() {  // the order of the four draws is part of the definition
    const int w = stream_.uniform(options_.side_min, options_.side_max);
    const int h = stream_.uniform(options_.side_min, options_.side_max);
    const int x0 = stream_.uniform(1, options_.size - 1 - w);
    const int y0 = stream_.uniform(1, options_.size - 1 - h);
    return {static_cast<uint8_t>(x0), static_cast<uint8_t>(y0), static_cast<uint8_t>(x0 + w - 1),
            static_cast<uint8_t>(y0 + h - 1)};
  }

  bool accept(Box box) {
    const size_t count = scene_.count;
    for (size_t k = 0; k < count; ++k)
      if (!apart(box, scene_.boxes[k], options_.gap)) return false;
    std::array<unsigned, kMaxRectangles> covered = covered_;
    for (size_t k = 0; k < count; ++k) {
      covered[k] |= covered_corners(scene_.boxes[k], box);
      if (std::popcount(covered[k]) > 1) return false;
    }
    covered_ = covered;
    scene_.boxes[count] = box;
    ++scene_.count;
    return true;
  }

  const Options& options_;
  Stream& stream_;
  Scene& scene_;
  std::array<unsigned, kMaxRectangles> covered_{};
};

/// One attempt; the covers of a scene whose picture decides every order, or nothing.
std::optional<Occlusion> attempt(const Options& options, int count, Stream& stream, Scene& scene) {
  Drawing drawing(options, stream, scene);
  for (int i = 0; i < count; ++i)
    if (!drawing.place_one()) return std::nullopt;
  const Occlusion occlusion = find_occlusion(scene, options.size);
  if (occlusion.ambiguous) return std::nullopt;
  return occlusion;
}

void set_levels(const Occlusion& occlusion, Scene& scene) {
  for (size_t a = 0; a < scene.count; ++a) {  // what a covers was painted before it
    int level = 0;
    for (size_t b = 0; b < a; ++b)
      if (occlusion.covers[a] >> b & 1) level = std::max<int>(level, scene.levels[b]);
    scene.levels[a] = static_cast<uint8_t>(level + 1);
  }
}

void draw_greys(Stream& stream, Scene& scene) {
  std::array<uint8_t, kMaxRectangles> values;
  for (int i = 0; i < kMaxRectangles; ++i)
    values[static_cast<size_t>(i)] = static_cast<uint8_t>(i + 1);
  for (int k = 0; k < scene.count; ++k) {  // partial Fisher-Yates
    const int other = stream.uniform(k, kMaxRectangles - 1);
    std::swap(values[static_cast<size_t>(k)], values[static_cast<size_t>(other)]);
    scene.greys[static_cast<size_t>(k)] = values[static_cast<size_t>(k)];
  }
}

}  // namespace

Scene generate(const Options& options, uint64_t seed, Split split, uint64_t index) {
  Stream stream(seed, static_cast<uint64_t>(split), index);
  const int count = stream.uniform(options.rectangles_min, options.rectangles_max);
  for (int restarts = 0; restarts <= kMaxRestarts; ++restarts) {
    Scene scene;
    const std::optional<Occlusion> occlusion = attempt(options, count, stream, scene);
    if (!occlusion) continue;
    scene.drawings = static_cast<uint16_t>(restarts + 1);
    set_levels(*occlusion, scene);
    draw_greys(stream, scene);
    return scene;
  }
  throw ConfigError(fmt::format("rde: scene {} of {} could not be drawn in {} restarts", index,
                                name_of(split), kMaxRestarts),
                    {}, "the preset is too crowded: fewer or smaller rectangles, or a larger image",
                    "E0261");
}

std::vector<Scene> generate_range(const Options& options, uint64_t seed, Split split,
                                  uint64_t first, int64_t count) {
  validate(options);
  std::vector<Scene> scenes(static_cast<size_t>(count));
  parallel_ranges(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      scenes[static_cast<size_t>(i)] =
          generate(options, seed, split, first + static_cast<uint64_t>(i));
  });
  return scenes;
}

}  // namespace sing::data::rde
