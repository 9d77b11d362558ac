#pragma once
// The least time a training step can take on a machine that is known by two rates: for each op
// the larger of FLOPs / ceiling and bytes / ceiling, summed. What is counted is a schedule of ops
// in which each op is fused as far as public libraries fuse it: bias, activation and residual in
// the product's write, batch statistics in the convolution's, softmax never in memory. Fusion
// across ops may beat it.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sing/nn/models/resnet.h"
#include "sing/nn/models/vit.h"

namespace sing::bench {

/// Measured in the process that is compared, or quoted: per second.
struct Rates {
  double flops = 0;  ///< of products; a multiply-add counts as two
  double bytes = 0;  ///< of a copy, read + written
};
/// One H200: bf16 products of random data and a copy, both read through PyTorch (not by us).
inline constexpr Rates kH200{790e12, 4.3e12};

/// `count` equal ops.
struct FloorOp {
  std::string group;  ///< "products", "layer norm", "attention", "ends", "optimizer", ...
  std::string name;
  double flops = 0, bytes = 0;
  int64_t count = 1;

  /// Of all of them.
  double seconds(const Rates& rates) const;
};

struct FloorModel {
  std::vector<FloorOp> ops;

  void add(FloorOp op) { ops.push_back(std::move(op)); }
  /// Each of one group, or of all with "".
  double flops(const std::string& group = "") const;
  double bytes(const std::string& group = "") const;
  double seconds(const Rates& rates, const std::string& group = "") const;
  std::vector<std::string> groups() const;
};

/// How wide things are, in bytes.
struct Widths {
  double activation = 2;
  /// Moved by the optimizer for each parameter: AdamW with f32 master, moments and gradients and a
  /// bf16 copy 30, the statistics of SING 4 more, LookAhead every fifth step 1.6 more.
  double per_parameter = 35.6;

  /// Of a run as bench::optimizer_config describes it.
  static Widths of(bool bf16, bool sing);
};

/// Blocks of a transformer: what a vision transformer and an encoder of text have in common.
struct BlockShape {
  int64_t batch, tokens, dim, hidden, depth;
};
/// Products (with bias, GELU, residual), layer norms (two units of tokens x dim read or written
/// forward, four backward), attention (four and eight).
void add_blocks(FloorModel& model, const BlockShape& shape, const Widths& widths);
void add_optimizer(FloorModel& model, int64_t parameters, const Widths& widths);

/// A vision transformer from images to images (RDE): blocks, patch and position embedding, head,
/// loss over all pixels, optimizer.
FloorModel vit_floor(const nn::VitOptions& options, const nn::DataShape& data, int64_t batch,
                     int64_t parameters, const Widths& widths);
/// A residual network for classification: convolutions, batch norm with ReLU and residual (two
/// units forward, four backward), pooling, classifier, optimizer; no blur.
FloorModel resnet_floor(const nn::ResnetOptions& options, const nn::DataShape& data, int64_t batch,
                        int64_t parameters, const Widths& widths);

}  // namespace sing::bench
