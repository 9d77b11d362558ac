#pragma once
#include <array>
#include <bitset>
#include <cstdint>

#include "sing/data/rde.h"

namespace sing::data::rde {

/// Which rectangle hides a part of which, found without painting pixels.
struct Occlusion {
  std::array<uint16_t, kMaxRectangles> covers{};  ///< bit b of covers[a]: a covers b
  bool ambiguous = false;  ///< some covering pair shows no line that tells who is in front
};

/// True for rows in which some rectangle begins or ends or its border starts or stops being a
/// full line; every other row of a picture equals the row above it.
inline std::bitset<kMaxSize + 1> changing_rows(const Scene& scene) {
  std::bitset<kMaxSize + 1> rows;
  rows.set(0);
  for (int k = 0; k < scene.count; ++k) {
    const Box box = scene.boxes[static_cast<size_t>(k)];
    for (const int y : {box.y0 + 0, box.y0 + 1, box.y1 + 0, box.y1 + 1})
      rows.set(static_cast<size_t>(y));
  }
  return rows;
}

/// `size` up to kMaxSize; the scene's boxes lie in the image.
Occlusion find_occlusion(const Scene& scene, int size);

}  // namespace sing::data::rde
