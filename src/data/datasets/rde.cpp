#include <fmt/format.h>

#include <cstring>

#include "data/rde/device.h"
#include "sing/data/rde_dataset.h"

namespace sing::data {
namespace rde {

config::EnumNames<Variant> enum_names(Variant) {
  return {{"outline", Variant::outline}, {"filled", Variant::filled}};
}

}  // namespace rde

namespace {

int64_t size_of_split(const RdeOptions& options, Split split) {
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

std::vector<Field> fields_of(const rde::Options& options) {
  const int64_t side = options.size, most = rde::kMaxRectangles;
  return {{"inputs", {1, side, side}, DType::f32},
          {"targets", {1, side, side}, DType::f32},
          {"ids", {side, side}, DType::u8},
          {"levels", {most}, DType::u8},
          {"boxes", {most, 4}, DType::u8}};
}

class RdeDataset : public Dataset {
 public:
  RdeDataset(const RdeOptions& options, Split split)
      : scene_options_(scene_options(options)),
        variant_(options.variant),
        normalize_(options.normalize),
        on_device_(options.on_device),
        split_(split),
        seed_(options.seed),
        fields_(fields_of(scene_options_)),
        scenes_(rde::generate_range(scene_options_, options.seed, split, 0,
                                    size_of_split(options, split))) {}

  std::string name() const override { return fmt::format("rde ({})", name_of(split_)); }
  int64_t size() const override { return static_cast<int64_t>(scenes_.size()); }
  const std::vector<Field>& fields() const override { return fields_; }

  void get(const SampleKey& key, std::span<void* const> out) const override {
    const rde::Scene& scene = scenes_.at(static_cast<size_t>(key.index));
    float* image = static_cast<float*>(out[0]);
    rde::paint_image(scene, scene_options_.size, variant_, image);
    if (normalize_) {
      const int64_t pixels = fields_[0].shape.numel();
      for (int64_t i = 0; i < pixels; ++i) image[i] = (image[i] - 0.5f) / 0.5f;
    }
    rde::paint_target(scene, scene_options_.size, scene_options_.depth_scale,
                      static_cast<float*>(out[1]));
    rde::paint_ids(scene, scene_options_.size, static_cast<uint8_t*>(out[2]));
    std::memcpy(out[3], scene.levels.data(), sizeof(scene.levels));
    std::memcpy(out[4], scene.boxes.data(), sizeof(scene.boxes));
  }

  std::vector<NamedTensor> constants() const override {
    return {{"depth_scale", Tensor::scalar(scene_options_.depth_scale, DType::f64)}};
  }

  std::string fingerprint() const override {
    const rde::Options& o = scene_options_;
    return fmt::format(
        "rde/1 {} size={} n={}..{} side={}..{} gap={} scale={} normalize={} seed={} "
        "split={} samples={}",
        rde::name_of(variant_), o.size, o.rectangles_min, o.rectangles_max, o.side_min, o.side_max,
        o.gap, o.depth_scale, normalize_, seed_, name_of(split_), scenes_.size());
  }

  std::unique_ptr<BatchMaker> batch_maker(Device device) const override {
    if (on_device_ == OnDevice::off) return nullptr;
    return rde::device_painter(device, scenes_, scene_options_, variant_, normalize_, false);
  }

 private:
  rde::Options scene_options_;
  rde::Variant variant_;
  bool normalize_;
  OnDevice on_device_;
  Split split_;
  uint64_t seed_;
  std::vector<Field> fields_;
  std::vector<rde::Scene> scenes_;
};

class RdeSource : public Source {
 public:
  explicit RdeSource(const RdeOptions& options)
      : options_(options), scene_options_(scene_options(options)) {}
  std::string summary() const override {
    return fmt::format("rde {}/{}, rendered on the fly", options_.preset,
                       rde::name_of(options_.variant));
  }
  const BatchOptions& batches() const override { return options_; }
  int64_t size(Split split) const override { return size_of_split(options_, split); }
  std::vector<Field> fields() const override { return fields_of(scene_options_); }
  std::shared_ptr<const Dataset> open(Split split) const override {
    return rde_dataset(options_, split);
  }

 private:
  RdeOptions options_;
  rde::Options scene_options_;
};

const bool registered = dataset_registry().add<RdeOptions>(
    "rde", "rectangle depth estimation: overlapping rectangles, depth of each pixel to be found",
    [](const RdeOptions& options) { return std::make_unique<RdeSource>(options); });

}  // namespace

void RdeOptions::describe(config::Fields<RdeOptions>& f) {
  f("preset", &RdeOptions::preset, "size and crowding of the scenes").one_of(rde::preset_names());
  f("variant", &RdeOptions::variant, "borders only, or rectangles in greys");
  f("train_size", &RdeOptions::train_size, "training samples").range(1, 1 << 28);
  f("val_size", &RdeOptions::val_size, "validation samples").range(0, 1 << 28);
  f("test_size", &RdeOptions::test_size, "test samples").range(0, 1 << 28);
  f("seed", &RdeOptions::seed, "of the scenes; independent of the run's seed");
  f("normalize", &RdeOptions::normalize, "map inputs from [0, 1] to [-1, 1]");
  const char* of_preset = "that of the preset";
  f("size", &RdeOptions::size, "image side").unit("pixels").default_note(of_preset);
  f("rectangles_min", &RdeOptions::rectangles_min, "fewest rectangles").default_note(of_preset);
  f("rectangles_max", &RdeOptions::rectangles_max, "most rectangles").default_note(of_preset);
  f("side_min", &RdeOptions::side_min, "shortest side").unit("pixels").default_note(of_preset);
  f("side_max", &RdeOptions::side_max, "longest side").unit("pixels").default_note(of_preset);
  f("gap", &RdeOptions::gap, "least distance of parallel edges")
      .unit("pixels")
      .default_note(of_preset);
  f("depth_scale", &RdeOptions::depth_scale, "level that gives target 1").default_note(of_preset);
  f("on_device", &RdeOptions::on_device,
    "auto paints training pictures on a GPU, off on the processor; the same bytes");
  f.base<BatchOptions>();
  f.check([](const RdeOptions& options, config::Checker& checker) {
    try {
      scene_options(options);
    } catch (const ConfigError& e) {  // the message names the option
      checker.fail("preset", e.what(), e.hint(), "E0260");
    }
  });
}

rde::Options scene_options(const RdeOptions& options) {
  rde::Options scene = rde::preset(options.preset);
  const auto change = [](auto& value, const auto& wanted) {
    if (wanted) value = *wanted;
  };
  change(scene.size, options.size);
  change(scene.rectangles_min, options.rectangles_min);
  change(scene.rectangles_max, options.rectangles_max);
  change(scene.side_min, options.side_min);
  change(scene.side_max, options.side_max);
  change(scene.gap, options.gap);
  change(scene.depth_scale, options.depth_scale);
  rde::validate(scene);
  return scene;
}

std::shared_ptr<const Dataset> rde_dataset(const RdeOptions& options, Split split) {
  return std::make_shared<RdeDataset>(options, split);
}

}  // namespace sing::data
