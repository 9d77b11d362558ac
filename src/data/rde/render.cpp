#include <algorithm>
#include <array>
#include <cstring>

#include "data/rde/occlusion.h"
#include "sing/data/rde.h"

namespace sing::data::rde {
namespace {

/// Paints row by row, back to front; a row without a change repeats the row above.
template <class T, class PaintRun>
void paint(const Scene& scene, int size, T* out, PaintRun&& paint_run) {
  const auto changing = changing_rows(scene);
  const size_t row_bytes = static_cast<size_t>(size) * sizeof(T);
  T* row = out;
  for (int y = 0; y < size; ++y, row += size) {
    if (!changing[static_cast<size_t>(y)]) {
      std::memcpy(row, row - size, row_bytes);
      continue;
    }
    std::memset(row, 0, row_bytes);  // zero bytes are 0 for u8 and 0.0f for f32
    for (size_t k = 0; k < scene.count; ++k) {
      const Box box = scene.boxes[k];
      if (y >= box.y0 && y <= box.y1) paint_run(k, box, y, row);
    }
  }
}

template <class T>
void paint_values(const Scene& scene, int size, const std::array<T, kMaxRectangles>& values,
                  T* out) {
  paint(scene, size, out, [&](size_t k, Box box, int, T* row) {
    std::fill(row + box.x0, row + box.x1 + 1, values[k]);
  });
}

void paint_outline(const Scene& scene, int size, float* image) {
  paint(scene, size, image, [](size_t, Box box, int y, float* row) {
    const bool line = y == box.y0 || y == box.y1;
    std::fill(row + box.x0, row + box.x1 + 1, line ? 1.0f : 0.0f);
    row[box.x0] = row[box.x1] = 1.0f;
  });
}

}  // namespace

void paint_ids(const Scene& scene, int size, uint8_t* ids) {
  std::array<uint8_t, kMaxRectangles> values;
  for (size_t k = 0; k < kMaxRectangles; ++k) values[k] = static_cast<uint8_t>(k + 1);
  paint_values(scene, size, values, ids);
}

void paint_image(const Scene& scene, int size, Variant variant, float* image) {
  if (variant == Variant::outline) return paint_outline(scene, size, image);
  std::array<float, kMaxRectangles> values{};
  for (size_t k = 0; k < scene.count; ++k) values[k] = static_cast<float>(scene.greys[k]) / 16.0f;
  paint_values(scene, size, values, image);
}

void paint_target(const Scene& scene, int size, double depth_scale, float* target) {
  std::array<float, kMaxRectangles> values{};
  for (size_t k = 0; k < scene.count; ++k)
    values[k] = static_cast<float>(scene.levels[k] / depth_scale);
  paint_values(scene, size, values, target);
}

}  // namespace sing::data::rde
