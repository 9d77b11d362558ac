#include "sing/data/rde.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "data/rde/stream.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"

namespace sing::data::rde {
namespace {

size_t pixels(const Options& options) {
  return static_cast<size_t>(options.size) * static_cast<size_t>(options.size);
}

std::vector<uint8_t> level_map(const Scene& scene, int size) {
  std::vector<uint8_t> map(static_cast<size_t>(size) * static_cast<size_t>(size));
  paint_ids(scene, size, map.data());
  for (uint8_t& id : map) id = id == 0 ? uint8_t{0} : scene.levels[id - 1u];
  return map;
}

TEST(RdeStream, TestVectors) {
  EXPECT_EQ(mix(1), 0x5692161d100b05e5u);
  Stream first(0, 0, 0);
  EXPECT_EQ(first.next(), 0x2130748aaac80268u);
  EXPECT_EQ(first.next(), 0x0cc78fb979ce5090u);
  EXPECT_EQ(first.next(), 0xab9aa3dafba6b4acu);
  Stream second(1234, 2, 42);
  EXPECT_EQ(second.next(), 0x0757be735fb5ed5fu);
  EXPECT_EQ(second.next(), 0xc2c0d6381b229b03u);
}

TEST(RdeStream, UniformReachesBothEnds) {
  Stream stream(7, 0, 0);
  std::vector<int> counts(5);
  for (int i = 0; i < 5000; ++i) ++counts.at(static_cast<size_t>(stream.uniform(-2, 2) + 2));
  for (const int count : counts) EXPECT_NEAR(count, 1000, 160) << "six standard deviations";
}

struct Known {
  const char* preset;
  Split split;
  uint64_t index;
  std::vector<Box> boxes;
  std::vector<int> levels, greys;
  int level_sum, lit;
};

TEST(RdeScene, KnownScenes) {
  const Known scenes[] = {
      {"quick",
       Split::train,
       0,
       {{12, 3, 17, 15}, {5, 9, 10, 19}, {8, 6, 21, 11}},
       {1, 1, 2},
       {7, 15, 2},
       267,
       83},
      {"quick",
       Split::train,
       1,
       {{1, 5, 16, 17}, {4, 2, 18, 10}, {6, 7, 11, 20}},
       {1, 2, 3},
       {12, 11, 8},
       562,
       104},
      {"quick",
       Split::test,
       0,
       {{8, 5, 19, 12}, {1, 7, 16, 18}, {3, 16, 11, 21}},
       {1, 2, 3},
       {4, 6, 2},
       534,
       91},
      {"full",
       Split::train,
       0,
       {{76, 22, 93, 75},
        {99, 43, 117, 94},
        {29, 59, 46, 100},
        {34, 34, 102, 62},
        {78, 48, 104, 65},
        {65, 25, 95, 40}},
       {1, 1, 1, 2, 3, 3},
       {7, 1, 11, 12, 8, 10},
       7568,
       571},
  };
  for (const Known& known : scenes) {
    const Options options = preset(known.preset);
    const Scene scene = generate(options, 0, known.split, known.index);
    ASSERT_EQ(scene.count, known.boxes.size());
    for (size_t k = 0; k < known.boxes.size(); ++k) {
      EXPECT_EQ(scene.boxes[k], known.boxes[k]) << k;
      EXPECT_EQ(scene.levels[k], known.levels[k]) << k;
      EXPECT_EQ(scene.greys[k], known.greys[k]) << k;
    }
    const std::vector<uint8_t> levels = level_map(scene, options.size);
    EXPECT_EQ(std::accumulate(levels.begin(), levels.end(), 0), known.level_sum);
    std::vector<float> image(pixels(options));
    paint_image(scene, options.size, Variant::outline, image.data());
    EXPECT_EQ(std::count(image.begin(), image.end(), 1.0f), known.lit);
    EXPECT_EQ(std::count(image.begin(), image.end(), 0.0f) + known.lit,
              static_cast<int64_t>(image.size()));
  }
}

TEST(RdeScene, CheckSumsOfTwoThousandScenes) {
  struct Sums {
    const char* preset;
    int64_t rectangles, levels, lit, drawings;
  };
  const Sums expected[] = {{"full", 16032, 37818717, 1877051, 2155},
                           {"mid", 11005, 7312767, 719465, 2560},
                           {"quick", 6000, 936943, 190580, 2293}};
  for (const Sums& sums : expected) {
    const Options options = preset(sums.preset);
    int64_t rectangles = 0, levels = 0, lit = 0, drawings = 0;
    std::vector<float> image(pixels(options));
    for (const Scene& scene : generate_range(options, 0, Split::train, 0, 2000)) {
      rectangles += scene.count;
      drawings += scene.drawings;
      for (const uint8_t level : level_map(scene, options.size)) levels += level;
      paint_image(scene, options.size, Variant::outline, image.data());
      lit += std::count(image.begin(), image.end(), 1.0f);
    }
    EXPECT_EQ(rectangles, sums.rectangles) << sums.preset;
    EXPECT_EQ(levels, sums.levels) << sums.preset;
    EXPECT_EQ(lit, sums.lit) << sums.preset;
    EXPECT_EQ(drawings, sums.drawings) << sums.preset;
  }
}

/// Pixel by pixel, straight from the definition: the last painted box that holds the pixel.
struct Owner {
  int id = 0;
  bool border = false;
};
Owner owner(const Scene& scene, int x, int y) {
  Owner result;
  for (int k = 0; k < scene.count; ++k) {
    const Box b = scene.boxes[static_cast<size_t>(k)];
    if (x >= b.x0 && x <= b.x1 && y >= b.y0 && y <= b.y1)
      result = {k + 1, x == b.x0 || x == b.x1 || y == b.y0 || y == b.y1};
  }
  return result;
}

TEST(RdeRender, EveryPixelFollowsItsOwner) {
  for (const std::string& name : preset_names()) {
    const Options options = preset(name);
    const size_t n = pixels(options);
    // One extra value behind each buffer: nothing may be written past the end.
    std::vector<float> outline(n + 1, -7), filled(n + 1, -7), target(n + 1, -7);
    std::vector<uint8_t> ids(n + 1, 77);
    for (uint64_t index = 0; index < 40; ++index) {
      const Scene scene = generate(options, 5, Split::val, index);
      paint_image(scene, options.size, Variant::outline, outline.data());
      paint_image(scene, options.size, Variant::filled, filled.data());
      paint_target(scene, options.size, options.depth_scale, target.data());
      paint_ids(scene, options.size, ids.data());
      for (size_t i = 0; i < n; ++i) {
        const Owner o =
            owner(scene, static_cast<int>(i) % options.size, static_cast<int>(i) / options.size);
        const size_t k = static_cast<size_t>(o.id) - 1;
        ASSERT_EQ(ids[i], o.id);
        ASSERT_EQ(outline[i], o.border ? 1.0f : 0.0f);
        ASSERT_EQ(filled[i], o.id ? static_cast<float>(scene.greys[k]) / 16.0f : 0.0f);
        ASSERT_EQ(target[i], o.id ? static_cast<float>(scene.levels[k]) /
                                        static_cast<float>(options.depth_scale)
                                  : 0.0f);
      }
      ASSERT_EQ(outline[n], -7);
      ASSERT_EQ(filled[n], -7);
      ASSERT_EQ(target[n], -7);
      ASSERT_EQ(ids[n], 77);
    }
  }
}

TEST(RdeRender, DepthAboveTheScaleIsNotClipped) {
  Options options = preset("full");
  options.depth_scale = 2;
  const Scene scene = generate(options, 0, Split::train, 0);  // highest level 3
  std::vector<float> target(pixels(options));
  paint_target(scene, options.size, options.depth_scale, target.data());
  EXPECT_EQ(*std::max_element(target.begin(), target.end()), 1.5f);
}

TEST(RdeScene, TheLargestImageWorks) {
  const Options options{256, 12, 16, 10, 100, 2, 8};
  for (uint64_t index = 0; index < 5; ++index) {
    const Scene scene = generate(options, 0, Split::train, index);
    EXPECT_GE(scene.count, 12);
    const std::vector<uint8_t> levels = level_map(scene, options.size);
    for (size_t k = 0; k < scene.count; ++k) {  // every corner but one is in sight
      const Box b = scene.boxes[k];
      int visible = 0;
      for (const int x : {b.x0, b.x1})
        for (const int y : {b.y0, b.y1})
          visible += owner(scene, x, y).id == static_cast<int>(k) + 1;
      EXPECT_GE(visible, 3);
    }
    EXPECT_GT(*std::max_element(levels.begin(), levels.end()), 1);
  }
}

TEST(RdeScene, SameForEveryThreadCount) {
  const int before = num_threads();
  const Options options = preset("mid");
  std::vector<std::vector<Scene>> runs;
  for (const int threads : {1, 2, 3, 4}) {
    set_num_threads(threads);
    runs.push_back(generate_range(options, 3, Split::test, 100, 1000));
  }
  set_num_threads(before);
  for (size_t i = 1; i < runs.size(); ++i) EXPECT_EQ(runs[i], runs[0]);
  EXPECT_EQ(runs[0][17], generate(options, 3, Split::test, 117));
}

TEST(RdeScene, SplitsAndSeedsDiffer) {
  const Options options = preset("quick");
  const Scene scene = generate(options, 0, Split::train, 0);
  EXPECT_NE(scene, generate(options, 0, Split::val, 0));
  EXPECT_NE(scene, generate(options, 0, Split::test, 0));
  EXPECT_NE(scene, generate(options, 1, Split::train, 0));
  EXPECT_NE(scene, generate(options, 0, Split::train, 1));
}

std::string code_of(const Options& options) {
  try {
    validate(options);
  } catch (const ConfigError& e) {
    EXPECT_FALSE(e.hint().empty());
    return e.code();
  }
  return "none";
}

TEST(RdeOptions, RefusesWhatCannotBeDecided) {
  const Options good = preset("quick");
  EXPECT_EQ(code_of(good), "none");
  const auto with = [&](auto change) {
    Options options = good;
    change(options);
    return code_of(options);
  };
  EXPECT_EQ(with([](Options& o) { o.side_max = o.size - 2; }), "none");
  EXPECT_EQ(with([](Options& o) { o.side_max = o.size - 1; }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.side_min = 4; }), "none");
  EXPECT_EQ(with([](Options& o) { o.side_min = 3; }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.side_min = 17; }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.rectangles_min = 0; }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.rectangles_max = 2; }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.rectangles_max = 16; }), "none");
  EXPECT_EQ(with([](Options& o) { o.rectangles_max = 17; }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.gap = 1; }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.depth_scale = 0; }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.depth_scale = std::nan(""); }), "E0260");
  EXPECT_EQ(with([](Options& o) { o.size = 257; }), "E0260");
}

TEST(RdeOptions, TooCrowdedStopsWithAnError) {
  Options options = preset("quick");
  options.rectangles_min = options.rectangles_max = 16;  // 32 edge columns do not fit into 22
  try {
    generate(options, 0, Split::train, 0);
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_EQ(e.code(), "E0261");
  }
}

TEST(RdeOptions, NamesAreClosed) {
  EXPECT_EQ(variant_from_name("filled"), Variant::filled);
  EXPECT_EQ(preset("full").size, 128);
  EXPECT_THROW(preset("ful"), ConfigError);
  EXPECT_THROW(variant_from_name("outlined"), ConfigError);
  EXPECT_EQ(split_from_name("val"), Split::val);
  EXPECT_THROW(split_from_name("valid"), ConfigError);
}

}  // namespace
}  // namespace sing::data::rde
