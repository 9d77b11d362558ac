#include "benchmarks/support/floor_model.h"

#include <algorithm>
#include <cmath>

namespace sing::bench {
namespace {

double real(int64_t n) {
  return static_cast<double>(n);
}

/// A product of m x k and k x n whose write has `extra` more elements to read or write than m x n.
void add_product(FloorModel& model, const char* group, std::string name, double m, double n,
                 double k, double width, double extra, int64_t count) {
  model.add(
      {group, std::move(name), 2 * m * n * k, width * (m * k + k * n + m * n + extra), count});
}

/// Forward, by input and by weight. `kept` elements the forward pass leaves for the way back,
/// `residual` it adds, `slope` the gradient by input is multiplied with.
struct Fused {
  double kept = 0, residual = 0, slope = 0;
};
void add_linear(FloorModel& model, const char* group, const std::string& name, double rows,
                double in, double out, double width, Fused fused, int64_t count) {
  add_product(model, group, name, rows, out, in, width, fused.kept + fused.residual, count);
  add_product(model, group, name + ", by input", rows, in, out, width, fused.slope, count);
  add_product(model, group, name + ", by weight", out, in, rows, width, 0, count);
}

}  // namespace

double FloorOp::seconds(const Rates& rates) const {
  return real(count) * std::max(flops / rates.flops, bytes / rates.bytes);
}

double FloorModel::flops(const std::string& group) const {
  double sum = 0;
  for (const FloorOp& op : ops)
    if (group.empty() || op.group == group) sum += op.flops * real(op.count);
  return sum;
}
double FloorModel::bytes(const std::string& group) const {
  double sum = 0;
  for (const FloorOp& op : ops)
    if (group.empty() || op.group == group) sum += op.bytes * real(op.count);
  return sum;
}
double FloorModel::seconds(const Rates& rates, const std::string& group) const {
  double sum = 0;
  for (const FloorOp& op : ops)
    if (group.empty() || op.group == group) sum += op.seconds(rates);
  return sum;
}
std::vector<std::string> FloorModel::groups() const {
  std::vector<std::string> names;
  for (const FloorOp& op : ops)
    if (std::ranges::find(names, op.group) == names.end()) names.push_back(op.group);
  return names;
}

Widths Widths::of(bool bf16, bool sing) {
  constexpr double kCopy = 2;  // of the weights, which only mixed precision has
  constexpr double kStatistics = 4, kLookAhead = 8.0 / 5;
  return {bf16 ? 2.0 : 4.0, 28 + (bf16 ? kCopy : 0) + (sing ? kStatistics + kLookAhead : 0)};
}

void add_blocks(FloorModel& model, const BlockShape& s, const Widths& w) {
  const double rows = real(s.batch) * real(s.tokens), dim = real(s.dim), hidden = real(s.hidden);
  const double unit = rows * dim, wide = rows * hidden;
  add_linear(model, "products", "qkv", rows, dim, 3 * dim, w.activation, {}, s.depth);
  add_linear(model, "products", "proj", rows, dim, dim, w.activation, {.residual = unit}, s.depth);
  add_linear(model, "products", "fc1", rows, dim, hidden, w.activation, {.kept = wide}, s.depth);
  add_linear(model, "products", "fc2", rows, hidden, dim, w.activation,
             {.residual = unit, .slope = wide}, s.depth);
  model.add({"layer norm", "forward", 0, 2 * unit * w.activation, 2 * s.depth});
  model.add({"layer norm", "backward", 0, 4 * unit * w.activation, 2 * s.depth});
  const double pairs = 4 * unit * real(s.tokens);  // FLOPs of scores and of what they weigh
  model.add({"attention", "forward", pairs, 4 * unit * w.activation, s.depth});
  model.add({"attention", "backward", 2.5 * pairs, 8 * unit * w.activation, s.depth});
}

void add_optimizer(FloorModel& model, int64_t parameters, const Widths& w) {
  model.add({"optimizer", "step", 0, w.per_parameter * real(parameters), 1});
}

FloorModel vit_floor(const nn::VitOptions& o, const nn::DataShape& data, int64_t batch,
                     int64_t parameters, const Widths& w) {
  FloorModel model;
  const int64_t tokens = data.height / o.patch * (data.width / o.patch);
  const int64_t hidden = std::llround(real(o.dim) * o.mlp_ratio);
  add_blocks(model, {batch, tokens, o.dim, hidden, o.depth}, w);
  const double rows = real(batch * tokens), dim = real(o.dim);
  const double in = real(data.channels * o.patch * o.patch),
               out = real(data.outputs * o.patch * o.patch);
  // Nothing wants the gradient of the images.
  add_product(model, "ends", "patch embedding", rows, dim, in, w.activation, 0, 1);
  add_product(model, "ends", "patch embedding, by weight", dim, in, rows, w.activation, 0, 1);
  const double unit = rows * dim * w.activation;
  model.add({"ends", "position embedding", 0, 2 * unit, 1});
  model.add({"ends", "position embedding, backward", 0, unit, 1});
  add_linear(model, "ends", "head", rows, dim, out, w.activation, {}, 1);
  const double pixels = rows * out;
  model.add({"ends", "loss", 0, pixels * (w.activation + 4), 1});  // targets are f32
  model.add({"ends", "loss, backward", 0, pixels * (2 * w.activation + 4), 1});
  add_optimizer(model, parameters, w);
  return model;
}

FloorModel resnet_floor(const nn::ResnetOptions& o, const nn::DataShape& data, int64_t batch,
                        int64_t parameters, const Widths& w) {
  FloorModel model;
  const bool large = o.stem == nn::Stem::imagenet;
  double h = real(data.height), v = real(data.width);
  const double n = real(batch);
  const auto norm = [&](double channels) {
    model.add({"batch norm", "forward", 0, 2 * n * h * v * channels * w.activation, 1});
    model.add({"batch norm", "backward", 0, 4 * n * h * v * channels * w.activation, 1});
  };
  const auto convolution = [&](const char* name, double from_h, double from_v, double in,
                               double out, double kernel, bool first) {
    const double filter = kernel * kernel * in * out;
    const double flops = 2 * n * h * v * filter;
    const double bytes = w.activation * (n * from_h * from_v * in + filter + n * h * v * out);
    model.add({"convolutions", name, flops, bytes, first ? 2 : 3});  // forward, by data, by weight
  };
  const auto halve = [&] {
    h = std::ceil(h / 2);
    v = std::ceil(v / 2);
  };
  const double h0 = h, v0 = v;
  double in = real(o.width);
  if (large) halve();
  convolution("stem", h0, v0, real(data.channels), in, large ? 7 : 3, true);
  norm(in);
  if (large) {
    const double before = n * h * v * in;
    halve();
    // Forward and backward: the large image once, the small one once or twice (with the choice).
    model.add({"pooling", "stem, forward", 0, (before + n * h * v * in) * w.activation, 1});
    model.add({"pooling", "stem, backward", 0, (before + 2 * n * h * v * in) * w.activation, 1});
  }
  for (size_t stage = 0; stage < o.blocks.size(); ++stage) {
    const double out = real(o.width << stage);
    for (int64_t block = 0; block < o.blocks[stage]; ++block) {
      const double from_h = h, from_v = v;
      if (stage > 0 && block == 0) halve();
      convolution("3x3", from_h, from_v, in, out, 3, false);
      norm(out);
      convolution("3x3", h, v, out, out, 3, false);
      norm(out);
      if (in != out) {
        convolution("1x1", from_h, from_v, in, out, 1, false);
        norm(out);
      }
      in = out;
    }
  }
  const double last = n * h * v * in;
  model.add({"ends", "average", 0, last * w.activation, 2});
  add_linear(model, "ends", "classifier", n, in, real(data.outputs), w.activation, {}, 1);
  add_optimizer(model, parameters, w);
  return model;
}

}  // namespace sing::bench
