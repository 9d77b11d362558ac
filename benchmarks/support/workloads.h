#pragma once
// The networks that benchmarks and comparisons run, as the shipped configs describe them.
#include <memory>
#include <stdexcept>
#include <string>

#include "benchmarks/support/floor_model.h"
#include "sing/config/bind.h"
#include "sing/nn/models/resnet.h"
#include "sing/nn/models/vit.h"
#include "sing/optim/optimizer.h"

namespace sing::bench {

struct Workload {
  std::string name;
  nn::VitOptions model;  ///< of all but the residual network
  nn::ResnetOptions resnet;
  bool classifies = false;  ///< by the residual network, from images of three channels
  int64_t image = 0, batch = 0;

  nn::DataShape data() const {
    return {.channels = classifies ? 3 : 1,
            .height = image,
            .width = image,
            .head = classifies ? nn::Head::classifier : nn::Head::image_to_image,
            .outputs = classifies ? 100 : 1};
  }
  std::unique_ptr<nn::Model> make_model() const {
    if (classifies) return std::make_unique<nn::Resnet>(resnet, data());
    return std::make_unique<nn::Vit>(model, data());
  }
  FloorModel floor(int64_t parameters, const Widths& widths) const {
    return classifies ? resnet_floor(resnet, data(), batch, parameters, widths)
                      : vit_floor(model, data(), batch, parameters, widths);
  }
};

inline constexpr const char* kWorkloads =
    "quickstart, vit_s, vit_s_p8, vit_b, vit_b_p8, resnet18 (CIFAR sizes)";

/// configs/quickstart.yaml, configs/rde_vit_*.yaml and a residual network on CIFAR's sizes, with
/// batches that suit a processor, or with those of the configs.
inline Workload workload(const std::string& name, bool on_gpu = false) {
  Workload w{};
  w.name = name;
  if (name == "quickstart") {
    w.model.patch = 4;
    w.model.depth = 4;
    w.model.dim = 64;
    w.model.heads = 4;
    w.model.norm_affine = nn::NormAffine::none;
    w.image = 24;
    w.batch = 32;
  } else if (name == "vit_s" || name == "vit_s_p8" || name == "vit_b" || name == "vit_b_p8") {
    if (name.starts_with("vit_b")) {
      w.model.dim = 768;
      w.model.heads = 12;
    }
    if (name.ends_with("_p8")) w.model.patch = 8;
    w.image = 128;
    w.batch = on_gpu ? 512 : 16;
  } else if (name == "resnet18") {
    w.classifies = true;
    w.resnet.stem = nn::Stem::cifar;
    w.image = 32;
    w.batch = on_gpu ? 128 : 16;
  } else {
    throw std::invalid_argument(std::string("workloads: ") + kWorkloads + "; not " + name);
  }
  return w;
}

/// "adamw" or "sing": AdamW alone, or SING's recipe around it.
inline optim::OptimizerConfig optimizer_config(const std::string& name) {
  const bool sing = name == "sing";
  config::Value host = config::Value::map();
  const auto set = [&](const char* key, const char* value) {
    host.set(key, config::Value::scalar(value));
  };
  set("name", "adamw");
  set("lr", sing ? "5e-2" : "1e-3");
  set("weight_decay", "5e-2");
  if (sing) set("softplus_beta", "50");
  config::Value options = config::Value::map();
  options.set("host", host);
  auto config = config::bind<optim::OptimizerConfig>(options);
  if (sing) {
    config.transforms = {"sing"};
    config.lookahead = optim::LookAheadOptions{};
  }
  return config;
}

}  // namespace sing::bench
