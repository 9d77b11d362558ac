#include "sing/data/synthetic_images.h"

#include <fmt/format.h>

#include <cmath>

#include "sing/core/random.h"

namespace sing::data {
namespace {

constexpr int64_t kGrid = 4;  // a prototype is interpolated from kGrid x kGrid random values
// Prototypes and samples draw from different positions of the same purpose.
constexpr uint64_t kPrototypes = uint64_t{1} << 62;

int64_t size_of_split(const SyntheticImagesOptions& options, Split split) {
  switch (split) {
    case Split::train:
      return options.train_size;
    case Split::val:
      return options.val_size;
    case Split::test:
      return options.test_size;
  }
  return 0;
}

std::vector<Field> fields_of(const SyntheticImagesOptions& o) {
  return {{"inputs", {o.channels, o.size, o.size}, DType::f32},
          {"targets", {}, DType::i64, o.classes}};
}

/// Linear interpolation between the values of a ring of kGrid points.
struct RingPoint {
  int64_t left, right;
  double weight;  ///< of the right one
};
RingPoint ring_point(int64_t pixel, int64_t size) {
  const double at = static_cast<double>(pixel * kGrid) / static_cast<double>(size);
  const int64_t left = static_cast<int64_t>(at);
  return {left, (left + 1) % kGrid, at - static_cast<double>(left)};
}

class SyntheticImages : public Dataset {
 public:
  SyntheticImages(const SyntheticImagesOptions& options, Split split)
      : options_(options), split_(split), fields_(fields_of(options)) {
    const int64_t values = fields_[0].shape.numel();
    prototypes_.resize(static_cast<size_t>(options.classes * values));
    for (int64_t c = 0; c < options.classes; ++c)
      draw_prototype(c, prototypes_.data() + c * values);
  }

  std::string name() const override {
    return fmt::format("synthetic_images ({})", name_of(split_));
  }
  int64_t size() const override { return size_of_split(options_, split_); }
  const std::vector<Field>& fields() const override { return fields_; }

  void get(const SampleKey& key, std::span<void* const> out) const override {
    const RandomKey random{options_.seed, Purpose::synthetic, static_cast<uint64_t>(split_),
                           static_cast<uint64_t>(key.index)};
    const int64_t label = key.index % options_.classes;
    *static_cast<int64_t*>(out[1]) = label;
    const int64_t side = options_.size, reach = side / 8;
    const auto shift = [&](uint64_t index) {
      const auto steps = random_below(random, index, static_cast<uint64_t>(2 * reach + 1));
      return side - reach + static_cast<int64_t>(steps);  // positive: -reach..reach, plus a turn
    };
    const int64_t dx = shift(0), dy = shift(1);
    const float scale = static_cast<float>(0.7 + 0.6 * random_uniform(random, 8));
    const int64_t values = fields_[0].shape.numel();
    const float* from = prototypes_.data() + label * values;
    float* image = static_cast<float*>(out[0]);
    add_noise(random, values, image);
    for (int64_t row = 0; row < options_.channels * side; ++row) {
      const float* source = from + (row / side * side + (row % side + dy) % side) * side;
      for (int64_t x = 0; x < side; ++x) image[row * side + x] += scale * source[(x + dx) % side];
    }
  }

  std::string fingerprint() const override {
    return fmt::format(
        "synthetic_images/1 size={} channels={} classes={} noise={} seed={} split={} "
        "samples={}",
        options_.size, options_.channels, options_.classes, options_.noise, options_.seed,
        name_of(split_), size());
  }

 private:
  void draw_prototype(int64_t label, float* image) const {
    const RandomKey random{options_.seed, Purpose::synthetic, 0,
                           kPrototypes + static_cast<uint64_t>(label)};
    const int64_t side = options_.size;
    for (int64_t c = 0; c < options_.channels; ++c) {
      double grid[kGrid][kGrid];
      for (int64_t i = 0; i < kGrid * kGrid; ++i)
        grid[i / kGrid][i % kGrid] =
            2 * random_uniform(random, static_cast<uint64_t>(c * kGrid * kGrid + i)) - 1;
      for (int64_t y = 0; y < side; ++y) {
        const RingPoint v = ring_point(y, side);
        for (int64_t x = 0; x < side; ++x) {
          const RingPoint h = ring_point(x, side);
          const auto across = [&](int64_t row) {
            return grid[row][h.left] * (1 - h.weight) + grid[row][h.right] * h.weight;
          };
          *image++ =
              static_cast<float>(across(v.left) * (1 - v.weight) + across(v.right) * v.weight);
        }
      }
    }
  }

  /// Sets `values` values to uniform noise, four per block of the generator.
  void add_noise(const RandomKey& random, int64_t values, float* image) const {
    const std::array<uint32_t, 2> key = philox_key(random);
    const float step = static_cast<float>(options_.noise * 0x1p-31);
    for (int64_t i = 0; i < values; i += 4) {
      const std::array<uint32_t, 4> words =
          philox4x32(key, {static_cast<uint32_t>(i / 4), 1,  // block numbers above 2^32: not used
                           static_cast<uint32_t>(random.position),
                           static_cast<uint32_t>(random.position >> 32)});
      for (int64_t j = 0; j < std::min<int64_t>(4, values - i); ++j)
        image[i + j] =
            static_cast<float>(static_cast<int32_t>(words[static_cast<size_t>(j)])) * step;
    }
  }

  SyntheticImagesOptions options_;
  Split split_;
  std::vector<Field> fields_;
  std::vector<float> prototypes_;
};

class SyntheticImagesSource : public Source {
 public:
  explicit SyntheticImagesSource(const SyntheticImagesOptions& options) : options_(options) {}
  std::string summary() const override {
    return fmt::format("synthetic images, {} classes", options_.classes);
  }
  const BatchOptions& batches() const override { return options_; }
  int64_t size(Split split) const override { return size_of_split(options_, split); }
  std::vector<Field> fields() const override { return fields_of(options_); }
  std::shared_ptr<const Dataset> open(Split split) const override {
    return synthetic_images(options_, split);
  }

 private:
  SyntheticImagesOptions options_;
};

const bool registered = dataset_registry().add<SyntheticImagesOptions>(
    "synthetic_images", "smooth random patterns to classify; for tests and first steps",
    [](const SyntheticImagesOptions& options) {
      return std::make_unique<SyntheticImagesSource>(options);
    });

}  // namespace

void SyntheticImagesOptions::describe(config::Fields<SyntheticImagesOptions>& f) {
  using Self = SyntheticImagesOptions;
  f("train_size", &Self::train_size, "training samples").range(1, 1 << 28);
  f("val_size", &Self::val_size, "validation samples").range(0, 1 << 28);
  f("test_size", &Self::test_size, "test samples").range(0, 1 << 28);
  f("size", &Self::size, "image side").unit("pixels").range(4, 1024);
  f("channels", &Self::channels, "colour planes").range(1, 16);
  f("classes", &Self::classes, "patterns to tell apart").range(1, 1000);
  f("noise", &Self::noise, "half width of the uniform noise").range(0, 100);
  f("seed", &Self::seed, "of the pictures; independent of the run's seed");
  f.base<BatchOptions>();
}

std::shared_ptr<const Dataset> synthetic_images(const SyntheticImagesOptions& options,
                                                Split split) {
  return std::make_shared<SyntheticImages>(options, split);
}

}  // namespace sing::data
