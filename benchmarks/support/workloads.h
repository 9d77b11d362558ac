#pragma once
// The networks that benchmarks and comparisons run, as the shipped configs describe them.
#include <memory>
#include <stdexcept>
#include <string>

#include "sing/config/bind.h"
#include "sing/nn/models/vit.h"
#include "sing/optim/optimizer.h"

namespace sing::bench {

struct Workload {
  std::string name;
  nn::VitOptions model;
  int64_t image = 0, batch = 0;

  std::unique_ptr<nn::Model> make_model() const {
    const nn::DataShape data{.channels = 1,
                             .height = image,
                             .width = image,
                             .head = nn::Head::image_to_image,
                             .outputs = 1};
    return std::make_unique<nn::Vit>(model, data);
  }
};

/// configs/quickstart.yaml, and configs/rde_vit_s.yaml with a batch that suits a processor.
inline Workload workload(const std::string& name) {
  Workload w{.name = name, .model = {}, .image = 0, .batch = 0};
  if (name == "quickstart") {
    w.model.patch = 4;
    w.model.depth = 4;
    w.model.dim = 64;
    w.model.heads = 4;
    w.model.norm_affine = nn::NormAffine::none;
    w.image = 24;
    w.batch = 32;
  } else if (name == "vit_s") {
    w.image = 128;
    w.batch = 16;
  } else {
    throw std::invalid_argument("workloads: quickstart, vit_s; not " + name);
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
