#pragma once

namespace sing::config::example {

// Uses most keys of the example root, in the shape of the product's own configs.
inline constexpr const char* kFull = R"(version: 1
seed: 1
model: {name: vit_s, patch: 16}
data: {preset: full, train_size: 50k, batch_size: 512}
optimizer:
  transforms: [sing]
  host: {name: adamw, lr: 5e-2, weight_decay: 5e-2, betas: [0.9, 0.999], softplus_beta: 50}
  lookahead: {every: 5, alpha: 0.5}
  schedule: {name: cosine, warmup: 5ep}
  groups:
    - {match: {tags: [norm]}, freeze: true}
    - {match: {name: "head.*"}, lr_scale: 0.1}
train: {duration: 100ep, precision: bf16, device: auto, accumulate: 1}
metrics: [depth_accuracy, mse]
checkpoint: {every: 15min, keep_last: 2, keep_best: {metric: eval/test/depth_accuracy, mode: max}}
)";

}  // namespace sing::config::example
