// Pictures of rectangles (RDE) from their scenes. What a pixel shows is decided by the rectangle in
// front at that place alone, so each thread looks from front to back until one covers it. Values
// come from tables that the host made: the bytes are those of the host's painter.
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/rde.h"

namespace sing::cuda {
namespace {

using kernels::kRdeRectangles;
using kernels::RdeRenderArgs;
using kernels::RdeScene;

constexpr int kThreads = 256;
constexpr int kPixels = 4;  // of one thread, side by side in a row
constexpr int kRounds = 4;  // of a block over its part of the picture

/// Number of the rectangle in front at (x, y), -1 on the background.
SING_DEVICE int front(const RdeScene& scene, int x, int y) {
  for (int k = static_cast<int>(scene.count) - 1; k >= 0; --k) {
    const uint8_t* box = scene.boxes[k];
    if (x >= box[0] && y >= box[1] && x <= box[2] && y <= box[3]) return k;
  }
  return -1;
}

SING_DEVICE float shade(const RdeRenderArgs& a, const RdeScene& scene, int k, int x, int y) {
  if (k < 0) return a.image_values[0];
  if (!a.outline) return a.image_values[scene.greys[k]];
  const uint8_t* box = scene.boxes[k];
  const bool line = x == box[0] || x == box[2] || y == box[1] || y == box[3];
  return a.image_values[line ? 1 : 0];
}

template <class T>
SING_DEVICE void store(T* to, const Pack<T, kPixels>& values) {
  *reinterpret_cast<Pack<T, kPixels>*>(to) = values;
}

// Blocks (part of a picture, picture). Rows of a size that is no multiple of four end in the middle
// of a pack; then nothing is aligned and every pixel is stored by itself.
__global__ void __launch_bounds__(kThreads) render_kernel(RdeRenderArgs a, Fault* fault) {
  __shared__ RdeScene scene;
  const int64_t row = static_cast<int64_t>(blockIdx.y) + static_cast<int64_t>(blockIdx.z) * 65535;
  if (row >= a.batch) return;  // the same for the whole block
  const int64_t wanted = a.index[row];
  if (wanted < 0 || wanted >= a.scene_count) {
    if (threadIdx.x == 0 && blockIdx.x == 0 && fault->code == 0)
      *fault = {kIndexFault, wanted, a.scene_count};
    return;
  }
  const auto* from = reinterpret_cast<const uint8_t*>(a.scenes + wanted);
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(sizeof(RdeScene)); i += kThreads)
    reinterpret_cast<uint8_t*>(&scene)[i] = from[i];
  __syncthreads();

  if (blockIdx.x == 0 && threadIdx.x < kRdeRectangles) {
    const int k = static_cast<int>(threadIdx.x);
    if (a.levels) a.levels[row * kRdeRectangles + k] = scene.levels[k];
    if (a.boxes)
      for (int i = 0; i < 4; ++i) a.boxes[(row * kRdeRectangles + k) * 4 + i] = scene.boxes[k][i];
  }
  const int packs = (a.size + kPixels - 1) / kPixels;  // of a row
  const bool whole = a.size % kPixels == 0;
  const int64_t picture = row * a.size * a.size;
  for (int round = 0; round < kRounds; ++round) {
    const int pack =
        (static_cast<int>(blockIdx.x) * kRounds + round) * kThreads + static_cast<int>(threadIdx.x);
    const int y = pack / packs, x0 = pack % packs * kPixels;
    if (y >= a.size) return;
    Pack<float, kPixels> image, target;
    Pack<uint8_t, kPixels> ids;
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const int k = front(scene, x0 + i, y);
      image.at[i] = shade(a, scene, k, x0 + i, y);
      target.at[i] = a.target_values[k < 0 ? 0 : scene.levels[k]];
      ids.at[i] = static_cast<uint8_t>(k + 1);
    }
    const int64_t at = picture + static_cast<int64_t>(y) * a.size + x0;
    if (whole) {
      if (a.image) store(a.image + at, image);
      if (a.target) store(a.target + at, target);
      if (a.ids) store(a.ids + at, ids);
    } else {
      for (int i = 0; i < kPixels && x0 + i < a.size; ++i) {
        if (a.image) a.image[at + i] = image.at[i];
        if (a.target) a.target[at + i] = target.at[i];
        if (a.ids) a.ids[at + i] = ids.at[i];
      }
    }
  }
}

void render(const RdeRenderArgs& a) {
  if (a.batch == 0) return;
  const int packs = (a.size + kPixels - 1) / kPixels * a.size;
  constexpr int kPart = kThreads * kRounds;
  const auto parts = static_cast<unsigned>((packs + kPart - 1) / kPart);
  const auto rows = static_cast<unsigned>(a.batch < 65535 ? a.batch : 65535);
  const auto layers = static_cast<unsigned>((a.batch + 65534) / 65535);
  launch(render_kernel, {dim3(parts, rows, layers), dim3(kThreads), 0}, a.stream, a, fault());
}

SING_CUDA_KERNEL(kernels::data_rde_render, render)

}  // namespace
}  // namespace sing::cuda
