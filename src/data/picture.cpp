#include "sing/data/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sing/core/error.h"

namespace sing::data {
namespace {

constexpr int64_t kGap = 4;    // pixels between tiles
constexpr int64_t kFrame = 3;  // width of a frame around a tile
constexpr Colour kPaper{255, 255, 255};
constexpr Colour kRight{46, 160, 67}, kWrong{207, 34, 46};
constexpr Colour kNan{255, 0, 255};

/// Anchor colours of viridis, evenly spaced; between them the scale is linear.
constexpr Colour kViridis[] = {{68, 1, 84},    {72, 40, 120},  {62, 73, 137},  {49, 104, 142},
                               {38, 130, 142}, {31, 158, 137}, {53, 183, 121}, {110, 206, 88},
                               {181, 222, 43}, {253, 231, 37}};

/// Values that are shown as darkest and brightest.
struct Range {
  double low = 0, high = 1;
  double share(double value) const { return (value - low) / (high - low); }
};

/// The finite values of a tensor, stretched to hold [0, at_least].
Range range_of(const Tensor& values, double at_least) {
  Range range{0, at_least};
  const float* data = values.data<float>();
  for (int64_t i = 0; i < values.numel(); ++i) {
    const double value = static_cast<double>(data[i]);
    if (!std::isfinite(value)) continue;
    range.low = std::min(range.low, value);
    range.high = std::max(range.high, value);
  }
  if (!(range.high > range.low)) range.high = range.low + 1;
  return range;
}

uint8_t byte_of(double share) {
  return static_cast<uint8_t>(std::lround(std::clamp(share, 0.0, 1.0) * 255));
}

Tensor host_floats(const Tensor& tensor) {
  return tensor.to(Device{}).to(DType::f32).contiguous();
}

/// A tile of a (C, H, W) image, every pixel enlarged `factor` times.
template <class ColourOf>
Picture tile(int64_t height, int64_t width, int64_t factor, ColourOf&& colour_of) {
  Picture picture(width * factor, height * factor, kPaper);
  for (int64_t y = 0; y < picture.height; ++y)
    for (int64_t x = 0; x < picture.width; ++x)
      picture.set(x, y, colour_of(y / factor * width + x / factor));
  return picture;
}

/// Images of a batch as tiles of one size.
class Tiles {
 public:
  Tiles(const Tensor& inputs, int64_t tile_side)
      : inputs_(host_floats(inputs)),
        height_(inputs.size(2)),
        width_(inputs.size(3)),
        factor_(std::max<int64_t>(1, (tile_side + height_ / 2) / std::max<int64_t>(1, height_))),
        input_range_(range_of(inputs_, 1)) {}

  int64_t tile_width() const { return width_ * factor_; }
  int64_t tile_height() const { return height_ * factor_; }

  Picture input(int64_t sample) const {
    const int64_t channels = inputs_.size(1), plane = height_ * width_;
    const float* image = inputs_.data<float>() + sample * channels * plane;
    return tile(height_, width_, factor_, [&](int64_t i) {
      Colour colour;
      for (int64_t c = 0; c < 3; ++c) {
        const double value = static_cast<double>(image[(channels >= 3 ? c * plane : 0) + i]);
        if (std::isnan(value)) return kNan;
        colour[static_cast<size_t>(c)] = byte_of(input_range_.share(value));
      }
      return colour;
    });
  }

  Picture map(const Tensor& maps, int64_t sample, const Range& range) const {
    const float* values = maps.data<float>() + sample * height_ * width_;
    return tile(height_, width_, factor_, [&](int64_t i) {
      return scale_colour(range.share(static_cast<double>(values[i])));
    });
  }

 private:
  Tensor inputs_;
  int64_t height_, width_, factor_;
  Range input_range_;
};

void require(bool fits, const char* wanted, const Tensor& got) {
  if (!fits)
    throw ShapeError(fmt::format("prediction_panel: wanted {}; got {}", wanted, describe(got)));
}

bool is_image(const Shape& sample) {
  return sample.rank() == 3 && sample.numel() > 0 && (sample[0] == 1 || sample[0] >= 3);
}

/// Rows of equally large tiles with gaps around them.
class Grid {
 public:
  Grid(int64_t columns, int64_t rows, int64_t width, int64_t height)
      : width_(width),
        height_(height),
        picture_(columns * (width + kGap) + kGap, rows * (height + kGap) + kGap, kPaper) {}
  void put(int64_t column, int64_t row, const Picture& part) {
    picture_.paste(part, kGap + column * (width_ + kGap), kGap + row * (height_ + kGap));
  }
  Picture take() { return std::move(picture_); }

 private:
  int64_t width_, height_;
  Picture picture_;
};

Picture map_panel(const Tensor& inputs, const Tensor& targets, const Tensor& predictions,
                  const PanelOptions& options) {
  const Tensor truth = host_floats(targets), guess = host_floats(predictions);
  const Tiles tiles(inputs, options.tile_side);
  const Range range = range_of(truth, 0);
  Grid grid(3, inputs.size(0), tiles.tile_width(), tiles.tile_height());
  for (int64_t i = 0; i < inputs.size(0); ++i) {
    grid.put(0, i, tiles.input(i));
    grid.put(1, i, tiles.map(truth, i, range));
    grid.put(2, i, tiles.map(guess, i, range));
  }
  return grid.take();
}

Picture label_panel(const Tensor& inputs, const Tensor& targets, const Tensor& predictions,
                    const PanelOptions& options) {
  const Tensor labels = targets.to(Device{}).contiguous(), logits = host_floats(predictions);
  const int64_t classes = logits.size(1), count = inputs.size(0);
  const Tiles tiles(inputs, options.tile_side);
  const int64_t columns = std::min<int64_t>(4, count), rows = (count + columns - 1) / columns;
  Grid grid(columns, rows, tiles.tile_width() + 2 * kFrame, tiles.tile_height() + 2 * kFrame);
  for (int64_t i = 0; i < count; ++i) {
    const float* row = logits.data<float>() + i * classes;
    const bool right = std::max_element(row, row + classes) - row == labels.data<int64_t>()[i];
    Picture framed(tiles.tile_width() + 2 * kFrame, tiles.tile_height() + 2 * kFrame,
                   right ? kRight : kWrong);
    framed.paste(tiles.input(i), kFrame, kFrame);
    grid.put(i % columns, i / columns, framed);
  }
  return grid.take();
}

}  // namespace

Picture::Picture(int64_t w, int64_t h, Colour fill) {
  width = w;
  height = h;
  channels = 3;
  pixels.resize(static_cast<size_t>(checked_numel(std::array<int64_t, 3>{h, w, 3})));
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = fill[i % 3];
}

Colour Picture::at(int64_t x, int64_t y) const {
  const uint8_t* pixel = pixels.data() + 3 * (y * width + x);
  return {pixel[0], pixel[1], pixel[2]};
}

void Picture::set(int64_t x, int64_t y, Colour colour) {
  std::copy(colour.begin(), colour.end(), pixels.data() + 3 * (y * width + x));
}

void Picture::paste(const Picture& part, int64_t x, int64_t y) {
  SING_ASSERT(x >= 0 && y >= 0 && x + part.width <= width && y + part.height <= height);
  for (int64_t row = 0; row < part.height; ++row)
    std::copy_n(part.pixels.data() + 3 * row * part.width, 3 * part.width,
                pixels.data() + 3 * ((y + row) * width + x));
}

Colour scale_colour(double value) {
  if (std::isnan(value)) return kNan;
  constexpr size_t kLast = std::size(kViridis) - 1;
  const double at = std::clamp(value, 0.0, 1.0) * static_cast<double>(kLast);
  const size_t left = std::min(static_cast<size_t>(at), kLast - 1);
  const double weight = at - static_cast<double>(left);
  Colour colour;
  for (size_t c = 0; c < 3; ++c)
    colour[c] = static_cast<uint8_t>(
        std::lround(kViridis[left][c] * (1 - weight) + kViridis[left + 1][c] * weight));
  return colour;
}

Picture prediction_panel(const Tensor& inputs, const Tensor& targets, const Tensor& predictions,
                         const PanelOptions& options) {
  require(inputs.rank() == 4 && inputs.size(0) > 0 &&
              is_image(Shape{inputs.size(1), inputs.size(2), inputs.size(3)}),
          "inputs (B, C, H, W)", inputs);
  const int64_t samples = inputs.size(0), count = std::min(samples, options.rows);
  if (targets.dtype() == DType::i64) {
    require(targets.shape() == Shape{samples}, "one label per input", targets);
    require(predictions.rank() == 2 && predictions.size(0) == samples && predictions.size(1) > 0,
            "logits (B, C)", predictions);
    return label_panel(inputs.narrow(0, 0, count), targets.narrow(0, 0, count),
                       predictions.narrow(0, 0, count), options);
  }
  const Shape map{samples, 1, inputs.size(2), inputs.size(3)};
  require(targets.shape() == map, "targets (B, 1, H, W) like the inputs", targets);
  require(predictions.shape() == map, "predictions (B, 1, H, W) like the inputs", predictions);
  return map_panel(inputs.narrow(0, 0, count), targets.narrow(0, 0, count),
                   predictions.narrow(0, 0, count), options);
}

Picture preview(const Dataset& dataset, int64_t first, int64_t count, const PanelOptions& options) {
  const auto refuse = [&](const std::string& what) {
    throw ConfigError(fmt::format("preview of {}: {}", dataset.name(), what), {}, {}, "E0267");
  };
  if (first < 0 || count < 1 || first > dataset.size() - count)
    refuse(fmt::format("samples {}..{} were asked for, there are {}", first, first + count - 1,
                       dataset.size()));
  const Field& in = dataset.fields().at(0);
  const Field& out = dataset.fields().at(1);
  if (!is_image(in.shape)) refuse("its inputs are no images");
  Batch batch = allocate_batch(dataset, count);
  BatchWriter writer(dataset, batch);
  for (int64_t i = 0; i < count; ++i) writer.read({first + i, 0, 0}, i);
  const bool pairs = out.dtype == DType::f32 && out.shape == in.shape.with(0, 1);
  const Tiles tiles(batch.inputs(), options.tile_side);
  // About as wide as high, counting tiles.
  const int64_t columns = std::clamp<int64_t>(
      std::lround(std::sqrt(static_cast<double>(count) / (pairs ? 2 : 1))), 1, count);
  const int64_t per_sample = pairs ? 2 : 1;
  Grid grid(columns * per_sample, (count + columns - 1) / columns, tiles.tile_width(),
            tiles.tile_height());
  const Tensor maps = pairs ? host_floats(batch.targets()) : Tensor();
  const Range range = pairs ? range_of(maps, 0) : Range{};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t column = i % columns * per_sample, row = i / columns;
    grid.put(column, row, tiles.input(i));
    if (pairs) grid.put(column + 1, row, tiles.map(maps, i, range));
  }
  return grid.take();
}

void preview_png(const Dataset& dataset, int64_t first, int64_t count, const std::string& path) {
  write_png(path, preview(dataset, first, count));
}

}  // namespace sing::data
