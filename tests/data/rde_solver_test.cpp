#include "support/rde_solver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

#include "sing/core/thread_pool.h"

namespace sing::data::rde {
namespace {

constexpr int64_t kScenes = 20000;

std::vector<uint8_t> level_map(const Scene& scene, int size) {
  std::vector<uint8_t> map(static_cast<size_t>(size) * static_cast<size_t>(size));
  paint_ids(scene, size, map.data());
  for (uint8_t& id : map) id = id == 0 ? uint8_t{0} : scene.levels[id - 1u];
  return map;
}

/// How many of the first 20,000 scenes a solver gets wrong.
int64_t failures(const Options& options, Variant variant) {
  std::atomic<int64_t> wrong{0};
  parallel_ranges(kScenes, 200, [&](int64_t begin, int64_t end) {
    std::vector<float> image(static_cast<size_t>(options.size * options.size));
    for (int64_t i = begin; i < end; ++i) {
      const Scene scene = generate(options, 0, Split::train, static_cast<uint64_t>(i));
      paint_image(scene, options.size, variant, image.data());
      const auto solution = variant == Variant::outline
                                ? test::solve_outline(image.data(), options.size)
                                : test::solve_filled(image.data(), options.size);
      if (!solution || test::level_map(*solution) != level_map(scene, options.size)) ++wrong;
    }
  });
  return wrong;
}

class RdeSolver : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Presets, RdeSolver, ::testing::Values("full", "mid", "quick"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(RdeSolver, OutlineDeterminesTheAnswer) {
  EXPECT_EQ(failures(preset(GetParam()), Variant::outline), 0);
}
TEST_P(RdeSolver, FilledDeterminesTheAnswer) {
  EXPECT_EQ(failures(preset(GetParam()), Variant::filled), 0);
}

/// A solver that cannot fail proves nothing: spoil one pixel and it must notice or disagree.
TEST(RdeSolverControl, NoticesASpoiltPicture) {
  const Options options = preset("quick");
  const Scene scene = generate(options, 0, Split::train, 0);
  std::vector<float> image(static_cast<size_t>(options.size * options.size));
  paint_image(scene, options.size, Variant::outline, image.data());
  ASSERT_TRUE(test::solve_outline(image.data(), options.size));
  const Box top = scene.boxes[2];
  image[static_cast<size_t>(top.y0 * options.size + top.x0 + 4)] = 0;  // a gap in the front line
  EXPECT_FALSE(test::solve_outline(image.data(), options.size));
}

/// Statistics of 20,000 scenes against the published table of the data set.
struct Expected {
  const char* preset;
  double rectangles, drawings, relations, visible, lit, mean_target, mse_mean, mse_level_1,
      mse_constant;
  std::vector<double> pixel_levels, rectangle_levels, highest;
};

/// Per-scene sums; added up in index order afterwards.
struct Sums {
  std::array<int64_t, 17> pixel_levels{}, rectangle_levels{}, highest{};
  int64_t rectangles = 0, drawings = 0, relations = 0, lit = 0;
  double visible = 0;
};

void count_scene(const Options& options, const Scene& scene, Sums& sums) {
  const size_t n = static_cast<size_t>(options.size * options.size);
  thread_local std::vector<uint8_t> ids;
  thread_local std::vector<float> image;
  ids.resize(n);
  image.resize(n);
  paint_ids(scene, options.size, ids.data());
  paint_image(scene, options.size, Variant::outline, image.data());
  std::array<int64_t, 17> visible{};
  for (const uint8_t id : ids) ++visible[id];
  sums.lit += std::count(image.begin(), image.end(), 1.0f);
  sums.rectangles += scene.count;
  sums.drawings += scene.drawings;
  sums.pixel_levels[0] += visible[0];
  uint8_t highest = 0;
  for (size_t k = 0; k < scene.count; ++k) {
    const Box box = scene.boxes[k];
    const uint8_t level = scene.levels[k];
    const auto area = (box.x1 - box.x0 + 1) * (box.y1 - box.y0 + 1);
    highest = std::max(highest, level);
    sums.visible += static_cast<double>(visible[k + 1]) / area;
    sums.pixel_levels[level] += visible[k + 1];
    ++sums.rectangle_levels[level];
    uint32_t seen = 0;
    for (int y = box.y0; y <= box.y1; ++y)
      for (int x = box.x0; x <= box.x1; ++x)
        seen |= 1u << ids[static_cast<size_t>(y * options.size + x)];
    sums.relations += __builtin_popcount(seen & ~(1u << (k + 1)) & ~1u);
  }
  ++sums.highest[highest];
}

TEST(RdeStatistics, MatchThePublishedTable) {
  const Expected table[] = {
      {"full",
       7.997,
       1.086,
       9.42,
       .751,
       5.70,
       .1430,
       .0358,
       .0280,
       .0137,
       {52.0, 16.0, 12.6, 9.5, 5.9, 2.7, 0.9, 0.2, 0.03},
       {0, 36.5, 25.8, 18.7, 11.5, 5.2, 1.8, 0.4, 0.06, 0.006},
       {0, 0, 4.7, 24.4, 34.6, 23.5, 9.7, 2.6, 0.4, 0.05}},
      {"mid",
       5.497,
       1.279,
       4.98,
       .786,
       8.76,
       .1490,
       .0433,
       .0279,
       .0144,
       {56.6, 17.1, 13.0, 8.5, 3.7, 1.0, 0.1, 0.01},
       {0, 43.8, 28.5, 17.6, 7.7, 2.1, 0.3, 0.02},
       {0, 0.7, 20.5, 40.3, 27.7, 9.3, 1.5, 0.1}},
      {"quick",
       3,
       1.168,
       2.11,
       .794,
       16.56,
       .2044,
       .0680,
       .0355,
       .0162,
       {55.4, 17.3, 17.5, 9.8},
       {0, 46.7, 35.1, 18.2},
       {0, 2.2, 43.1, 54.7}},
  };
  for (const Expected& e : table) {
    const Options options = preset(e.preset);
    constexpr int64_t kGrain = 1000;
    std::vector<Sums> parts(kScenes / kGrain);
    parallel_ranges(kScenes, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        count_scene(options, generate(options, 0, Split::train, static_cast<uint64_t>(i)),
                    parts[static_cast<size_t>(begin / kGrain)]);
    });
    Sums sums;
    for (const Sums& part : parts) {
      for (size_t i = 0; i < 17; ++i) {
        sums.pixel_levels[i] += part.pixel_levels[i];
        sums.rectangle_levels[i] += part.rectangle_levels[i];
        sums.highest[i] += part.highest[i];
      }
      sums.rectangles += part.rectangles;
      sums.drawings += part.drawings;
      sums.relations += part.relations;
      sums.lit += part.lit;
      sums.visible += part.visible;
    }
    const double pixels = static_cast<double>(kScenes) * options.size * options.size;
    double mean = 0, square = 0, level_1 = 0;
    for (size_t level = 0; level < 17; ++level) {
      const double share = static_cast<double>(sums.pixel_levels[level]) / pixels;
      const double target = static_cast<double>(level) / options.depth_scale;
      const double one = target - 1 / options.depth_scale;
      mean += share * target;
      square += share * target * target;
      if (level > 0) level_1 += share * one * one;
    }
    // The scenes are the very ones of the table: half a unit of its last digit is the tolerance.
    const double scenes = kScenes;
    EXPECT_NEAR(static_cast<double>(sums.rectangles) / scenes, e.rectangles, 6e-4) << e.preset;
    EXPECT_NEAR(static_cast<double>(sums.drawings) / scenes, e.drawings, 6e-4) << e.preset;
    EXPECT_NEAR(static_cast<double>(sums.relations) / scenes, e.relations, 6e-3) << e.preset;
    EXPECT_NEAR(sums.visible / static_cast<double>(sums.rectangles), e.visible, 6e-4) << e.preset;
    EXPECT_NEAR(static_cast<double>(sums.lit) / pixels * 100, e.lit, 6e-3) << e.preset;
    EXPECT_NEAR(mean, e.mean_target, 6e-5) << e.preset;
    EXPECT_NEAR(square - mean * mean, e.mse_mean, 6e-5) << e.preset;
    EXPECT_NEAR(level_1, e.mse_level_1, 6e-5) << e.preset;
    const double inside = 1 - static_cast<double>(sums.pixel_levels[0]) / pixels;
    EXPECT_NEAR(square - mean * mean / inside, e.mse_constant, 6e-5) << e.preset;
    const auto percentages = [&](const std::vector<double>& expected, const auto& counts,
                                 double total, const char* what) {
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_NEAR(static_cast<double>(counts[i]) / total * 100, expected[i], 0.06)
            << e.preset << ' ' << what << ' ' << i;
    };
    percentages(e.pixel_levels, sums.pixel_levels, pixels, "pixel level");
    percentages(e.rectangle_levels, sums.rectangle_levels, static_cast<double>(sums.rectangles),
                "rectangle level");
    percentages(e.highest, sums.highest, scenes, "highest level");
  }
}

}  // namespace
}  // namespace sing::data::rde
