#include "data/rde/occlusion.h"

#include <algorithm>

namespace sing::data::rde {
namespace {

/// A row of 64 * W pixels, one bit each: a whole row is compared in W machine operations.
template <int W>
struct Bits {
  std::array<uint64_t, W> words{};

  static Bits range(int first, int last) {
    Bits bits;
    for (int i = 0; i < W; ++i) {
      const int begin = std::clamp(first - 64 * i, 0, 64),
                end = std::clamp(last + 1 - 64 * i, 0, 64);
      bits.words[static_cast<size_t>(i)] = below(end) & ~below(begin);
    }
    return bits;
  }
  static uint64_t below(int n) { return n >= 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }

  template <class F>
  friend Bits zip(const Bits& a, const Bits& b, F f) {
    Bits result;
    for (size_t i = 0; i < W; ++i) result.words[i] = f(a.words[i], b.words[i]);
    return result;
  }
  friend Bits operator&(const Bits& a, const Bits& b) {
    return zip(a, b, [](uint64_t x, uint64_t y) { return x & y; });
  }
  friend Bits operator|(const Bits& a, const Bits& b) {
    return zip(a, b, [](uint64_t x, uint64_t y) { return x | y; });
  }
  Bits without(const Bits& b) const {
    return zip(*this, b, [](uint64_t x, uint64_t y) { return x & ~y; });
  }
  bool any() const {
    uint64_t all = 0;
    for (const uint64_t word : words) all |= word;
    return all != 0;
  }
};

/// What a rectangle shows in one row.
template <int W>
struct RowPart {
  size_t id;
  Bits<W> box, border, visible;
};

template <int W>
Occlusion find(const Scene& scene, int size) {
  const auto changing = changing_rows(scene);
  std::array<uint16_t, kMaxRectangles> covers{}, decided{};
  std::array<RowPart<W>, kMaxRectangles> parts;
  for (int y = 0; y < size; ++y) {
    if (!changing[static_cast<size_t>(y)]) continue;
    size_t count = 0;
    Bits<W> hidden;
    for (size_t k = scene.count; k-- > 0;) {  // front to back
      const Box box = scene.boxes[k];
      if (y < box.y0 || y > box.y1) continue;
      RowPart<W>& part = parts[count++];
      part.id = k;
      part.box = Bits<W>::range(box.x0, box.x1);
      part.border = y == box.y0 || y == box.y1
                        ? part.box
                        : Bits<W>::range(box.x0, box.x0) | Bits<W>::range(box.x1, box.x1);
      part.visible = part.box.without(hidden);
      hidden = hidden | part.box;
    }
    for (size_t i = 0; i < count; ++i) {
      for (size_t j = i + 1; j < count; ++j) {  // a visible pixel of i in the box of j behind it
        const Bits<W> shared = parts[i].visible & parts[j].box;
        if (!shared.any()) continue;
        const uint16_t bit = static_cast<uint16_t>(1u << parts[j].id);
        covers[parts[i].id] |= bit;
        // On the border of exactly one of the two: a line drawn, or missing, inside the other.
        const Bits<W> line = (shared & parts[i].border).without(parts[j].border) |
                             (shared & parts[j].border).without(parts[i].border);
        if (line.any()) decided[parts[i].id] |= bit;
      }
    }
  }
  return {covers, covers != decided};
}

}  // namespace

Occlusion find_occlusion(const Scene& scene, int size) {
  if (size <= 64) return find<1>(scene, size);
  if (size <= 128) return find<2>(scene, size);
  return find<4>(scene, size);
}

}  // namespace sing::data::rde
