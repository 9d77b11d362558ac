#include "data/rde/device.h"

#include <cstddef>
#include <cstring>

#include "kernels/rde.h"
#include "sing/backend/plugin.h"
#include "sing/core/error.h"

namespace sing::data::rde {
namespace {

using kernels::RdeScene;
static_assert(kernels::kRdeRectangles == kMaxRectangles);
static_assert(sizeof(RdeScene) == sizeof(Scene));
static_assert(offsetof(RdeScene, levels) == offsetof(Scene, levels));
static_assert(offsetof(RdeScene, greys) == offsetof(Scene, greys));
static_assert(offsetof(RdeScene, count) == offsetof(Scene, count));

class DevicePainter final : public BatchMaker {
 public:
  DevicePainter(Device device, std::span<const Scene> scenes, const Options& options,
                Variant variant, bool normalize, bool with_answers)
      : device_(device), size_(options.size), with_answers_(with_answers) {
    const auto bytes = static_cast<int64_t>(scenes.size_bytes());
    Tensor host = Tensor::empty({bytes}, {.dtype = DType::u8});
    if (bytes > 0) std::memcpy(host.mutable_raw(), scenes.data(), scenes.size_bytes());
    scenes_ = host.to(device);
    args_.scenes = static_cast<const RdeScene*>(scenes_.raw());
    args_.scene_count = static_cast<int64_t>(scenes.size());
    args_.size = options.size;
    args_.outline = variant == Variant::outline;
    for (int k = 0; k <= kMaxRectangles; ++k) {
      float value = args_.outline ? static_cast<float>(k == 1) : static_cast<float>(k) / 16.0f;
      if (normalize) value = (value - 0.5f) / 0.5f;
      args_.image_values[k] = value;
      args_.target_values[k] = static_cast<float>(k / options.depth_scale);
    }
  }

  Batch allocate(int64_t count) const override {
    const int64_t side = size_, most = kMaxRectangles;
    const TensorOptions floats{.dtype = DType::f32, .device = device_};
    const TensorOptions bytes{.dtype = DType::u8, .device = device_};
    Batch batch{{"inputs", Tensor::empty({count, 1, side, side}, floats)},
                {"targets", Tensor::empty({count, 1, side, side}, floats)}};
    if (!with_answers_) return batch;
    batch.set("ids", Tensor::empty({count, side, side}, bytes));
    batch.set("levels", Tensor::empty({count, most}, bytes));
    batch.set("boxes", Tensor::empty({count, most, 4}, bytes));
    return batch;
  }

  void make(const Tensor& index, Batch& batch) const override {
    kernels::RdeRenderArgs args = args_;
    args.index = index.data<int64_t>();
    args.batch = index.numel();
    Tensor image = batch.inputs(), target = batch.targets();
    SING_ASSERT(index.device() == device_ && image.size(0) >= args.batch);
    args.image = image.mutable_data<float>();
    args.target = target.mutable_data<float>();
    const auto bytes_of = [&](const char* name) -> uint8_t* {
      if (!with_answers_) return nullptr;
      Tensor tensor = batch.at(name);
      return tensor.mutable_data<uint8_t>();
    };
    args.ids = bytes_of("ids");
    args.levels = bytes_of("levels");
    args.boxes = bytes_of("boxes");
    kernels::data_rde_render(device_.type, args);
  }

 private:
  Device device_;
  int64_t size_;
  bool with_answers_;
  Tensor scenes_;
  kernels::RdeRenderArgs args_{};
};

}  // namespace

std::unique_ptr<BatchMaker> device_painter(Device device, std::span<const Scene> scenes,
                                           const Options& options, Variant variant, bool normalize,
                                           bool with_answers) {
  // Opened first: its kernels fill the slots only then.
  if (!backend::backend_state(device.type).usable) return nullptr;
  if (!kernels::data_rde_render.has(device.type)) return nullptr;
  return std::make_unique<DevicePainter>(device, scenes, options, variant, normalize, with_answers);
}

}  // namespace sing::data::rde
