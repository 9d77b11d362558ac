// Convolution by oneDNN on channels-last images. The batch is cut into chunks whose size follows
// from the geometry; the weight is reordered into the primitive's own format once per call.
#include <algorithm>
#include <array>
#include <optional>

#include "backend/cpu/onednn/engine.h"
#include "backend/cpu/ref/dispatch.h"
#include "backend/plan_cache.h"
#include "kernels/conv.h"
#include "sing/core/error.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {
namespace {

using backend::PlanCache;
using backend::onednn::engine;
using backend::onednn::OneThread;
using backend::onednn::stream;
using backend::onednn::Workspace;
using dnnl::memory;
using Dims = memory::dims;
using Arguments = std::unordered_map<int, memory>;

enum class Direction : int64_t { forward, backward_data, backward_weight };

/// One primitive for a number of images, and the formats it chose.
struct Plan {
  dnnl::primitive primitive;
  memory::desc x, y, weight, bias, scratchpad;  // weight, bias: of gradients going backward
};

/// Images per chunk: enough rows for a matrix kernel and enough work to pay for a call.
int64_t images_per_chunk(const Conv2dGeometry& g) {
  const int64_t pixels = g.out_h * g.out_w;
  const int64_t products =
      pixels * g.out_channels * (g.in_channels / g.groups) * g.kernel_h * g.kernel_w;
  const int64_t by_rows = 255 / pixels + 1, by_work = (int64_t{1} << 22) / products + 1;
  return std::min(std::max(by_rows, by_work), g.n);
}

/// Every chunk holds one weight gradient of its own, so there are fewer of them.
int64_t images_per_weight_chunk(const Conv2dGeometry& g) {
  const int64_t elements = g.out_channels * (g.in_channels / g.groups) * g.kernel_h * g.kernel_w;
  const int64_t most = std::clamp<int64_t>((int64_t{1} << 24) / elements, 2, 16);
  return std::max(images_per_chunk(g), (g.n - 1) / most + 1);
}

bool has_work(const Conv2dGeometry& g) {
  return g.n > 0 && g.in_channels > 0 && g.out_channels > 0;
}

Dims weight_dims(const Conv2dGeometry& g) {
  Dims d{g.out_channels / g.groups, g.in_channels / g.groups, g.kernel_h, g.kernel_w};
  if (g.groups > 1) d.insert(d.begin(), g.groups);
  return d;
}

memory::desc user_weight(const Conv2dGeometry& g, DType dtype) {
  Dims strides(g.weight_strides.begin(), g.weight_strides.end());
  if (g.groups > 1) strides.insert(strides.begin(), g.out_channels / g.groups * strides[0]);
  return {weight_dims(g), backend::onednn::data_type(dtype), strides};
}

memory::desc image(const Dims& dims, DType dtype) {
  return {dims, backend::onednn::data_type(dtype), memory::format_tag::nhwc};
}

std::shared_ptr<const Plan> make_plan(const Conv2dGeometry& g, int64_t images, DType dtype,
                                      Direction direction, bool has_bias) {
  using dnnl::algorithm;
  using dnnl::prop_kind;
  const OneThread one;
  const memory::data_type type = backend::onednn::data_type(dtype);
  const memory::desc x = image({images, g.in_channels, g.in_h, g.in_w}, dtype);
  const memory::desc y = image({images, g.out_channels, g.out_h, g.out_w}, dtype);
  const auto wide = memory::data_type::f32;
  const bool by_weight = direction == Direction::backward_weight;
  const memory::desc weight(weight_dims(g), by_weight ? wide : type, memory::format_tag::any);
  const memory::desc bias =
      has_bias ? memory::desc({g.out_channels}, by_weight ? wide : type, memory::format_tag::a)
               : memory::desc();
  const Dims strides{g.stride_h, g.stride_w}, dilation{g.dilation_h - 1, g.dilation_w - 1};
  const Dims padding{g.pad_h, g.pad_w};
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);

  // Going backward, oneDNN asks for the forward problem as a hint.
  const memory::desc forward_weight(weight_dims(g), type, memory::format_tag::any);
  const dnnl::convolution_forward::primitive_desc forward(
      {prop_kind::forward_training, algorithm::convolution_direct, x, forward_weight,
       direction == Direction::forward ? bias : memory::desc(), y, strides, dilation, padding,
       padding},
      attr, engine());
  auto plan = std::make_shared<Plan>();
  plan->x = x;
  plan->y = y;
  plan->bias = bias;
  if (direction == Direction::forward) {
    plan->weight = forward.weights_desc();
    plan->scratchpad = forward.scratchpad_desc();
    plan->primitive = dnnl::convolution_forward(forward);
  } else if (direction == Direction::backward_data) {
    const dnnl::convolution_backward_data::primitive_desc pd(
        {algorithm::convolution_direct, x, weight, y, strides, dilation, padding, padding}, attr,
        engine(), forward);
    plan->weight = pd.weights_desc();
    plan->scratchpad = pd.scratchpad_desc();
    plan->primitive = dnnl::convolution_backward_data(pd);
  } else {
    const dnnl::convolution_backward_weights::primitive_desc pd(
        {algorithm::convolution_direct, x, weight, bias, y, strides, dilation, padding, padding},
        attr, engine(), forward);
    plan->weight = pd.diff_weights_desc();
    plan->scratchpad = pd.scratchpad_desc();
    plan->primitive = dnnl::convolution_backward_weights(pd);
  }
  return plan;
}

std::shared_ptr<const Plan> plan_for(const Conv2dGeometry& g, int64_t images, DType dtype,
                                     Direction direction, bool has_bias) {
  static auto* cache = new PlanCache<Plan>(256);  // outlives everything that may still call
  PlanCache<Plan>::Key key = sizes_of(g);
  key.insert(key.end(),
             {static_cast<int64_t>(direction), static_cast<int64_t>(dtype), has_bias, images});
  return cache->get(key, [&] { return make_plan(g, images, dtype, direction, has_bias); });
}

/// The plans of a cut batch: all chunks but the last are equal.
struct Chunks {
  int64_t images, count, last_images;
  std::shared_ptr<const Plan> plan, last_plan;

  Chunks(const Conv2dGeometry& g, int64_t images_each, DType dtype, Direction direction,
         bool has_bias)
      : images(images_each),
        count((g.n - 1) / images_each + 1),
        last_images(g.n - (count - 1) * images_each),
        plan(plan_for(g, count > 1 ? images : last_images, dtype, direction, has_bias)),
        last_plan(plan_for(g, last_images, dtype, direction, has_bias)) {}
  const Plan& of(int64_t chunk) const { return chunk + 1 < count ? *plan : *last_plan; }
  /// The last chunk may prefer another weight format than the others.
  bool one_weight_format() const { return plan->weight == last_plan->weight; }
};

const char* image_at(const void* images, int64_t first, int64_t elements, DType dtype) {
  return static_cast<const char*>(images) + first * elements * static_cast<int64_t>(size_of(dtype));
}

memory at(const memory::desc& desc, const void* data) {
  return {desc, engine(), const_cast<void*>(data)};
}

void execute(const Plan& plan, Arguments arguments) {
  const OneThread one;
  const Workspace scratch(plan.scratchpad.get_size());
  arguments.emplace(DNNL_ARG_SCRATCHPAD, at(plan.scratchpad, scratch.data()));
  plan.primitive.execute(stream(), arguments);
  stream().wait();
}

void convert(const memory& from, const memory& to, bool add = false) {
  const OneThread one;
  dnnl::primitive_attr attr;
  if (add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attr.set_post_ops(sum);
  }
  memory source = from, target = to;
  dnnl::reorder(dnnl::reorder::primitive_desc(source, target, attr))
      .execute(stream(), source, target);
  stream().wait();
}

/// The weight in the format of a plan: the caller's own memory where it already is so.
class PackedWeight {
 public:
  PackedWeight(const Conv2dGeometry& g, DType dtype, const void* weight, const memory::desc& wanted)
      : own_(user_weight(g, dtype) == wanted ? 0 : wanted.get_size()),
        memory_(at(wanted, own_.data() ? own_.data() : weight)) {
    if (own_.data()) convert(at(user_weight(g, dtype), weight), memory_);
  }
  const memory& get() const { return memory_; }

 private:
  Workspace own_;
  memory memory_;
};

/// Two packed weights when the last chunk wants another format.
struct PackedWeights {
  PackedWeight first;
  std::optional<PackedWeight> second;
  PackedWeights(const Conv2dGeometry& g, DType dtype, const void* weight, const Chunks& chunks)
      : first(g, dtype, weight, chunks.plan->weight) {
    if (!chunks.one_weight_format()) second.emplace(g, dtype, weight, chunks.last_plan->weight);
  }
  const memory& of(const Chunks& chunks, int64_t chunk) const {
    return second && chunk + 1 == chunks.count ? second->get() : first.get();
  }
};

bool forward(const Conv2dFwdArgs& a) {
  const Conv2dGeometry& g = a.g;
  if (!backend::onednn::serves(a.dtype) || !has_work(g)) return false;
  const Chunks chunks(g, images_per_chunk(g), a.dtype, Direction::forward, a.bias != nullptr);
  const PackedWeights weights(g, a.dtype, a.weight, chunks);
  parallel_for(chunks.count, [&](int64_t chunk) {
    const Plan& plan = chunks.of(chunk);
    const int64_t first = chunk * chunks.images;
    Arguments arguments{
        {DNNL_ARG_SRC, at(plan.x, image_at(a.x, first, g.in_channels * g.in_h * g.in_w, a.dtype))},
        {DNNL_ARG_WEIGHTS, weights.of(chunks, chunk)},
        {DNNL_ARG_DST,
         at(plan.y, image_at(a.y, first, g.out_channels * g.out_h * g.out_w, a.dtype))}};
    if (a.bias) arguments.emplace(DNNL_ARG_BIAS, at(plan.bias, a.bias));
    execute(plan, std::move(arguments));
  });
  return true;
}

bool backward_data(const Conv2dBwdDataArgs& a) {
  const Conv2dGeometry& g = a.g;
  if (!backend::onednn::serves(a.dtype) || !has_work(g)) return false;
  const Chunks chunks(g, images_per_chunk(g), a.dtype, Direction::backward_data, false);
  const PackedWeights weights(g, a.dtype, a.weight, chunks);
  parallel_for(chunks.count, [&](int64_t chunk) {
    const Plan& plan = chunks.of(chunk);
    const int64_t first = chunk * chunks.images;
    execute(plan,
            {{DNNL_ARG_DIFF_DST,
              at(plan.y, image_at(a.grad_y, first, g.out_channels * g.out_h * g.out_w, a.dtype))},
             {DNNL_ARG_WEIGHTS, weights.of(chunks, chunk)},
             {DNNL_ARG_DIFF_SRC,
              at(plan.x, image_at(a.grad_x, first, g.in_channels * g.in_h * g.in_w, a.dtype))}});
  });
  return true;
}

/// to[i] = or += values[i].
void put(void* to, DType dtype, const float* values, int64_t n, bool add) {
  cpu::dispatch_floating(dtype, [&](auto tag) {
    using T = decltype(tag);
    T* out = static_cast<T*>(to);
    for (int64_t i = 0; i < n; ++i)
      out[i] = cpu::from_value<T>(add ? cpu::to_value(out[i]) + values[i] : values[i]);
  });
}

/// partial[0] += partial[1] + ... in the order of the chunks.
void add_partials(float* partials, int64_t n, int64_t count) {
  parallel_ranges(n, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = 1; chunk < count; ++chunk)
      for (int64_t i = begin; i < end; ++i) partials[i] += partials[chunk * n + i];
  });
}

void store_weight_gradient(const Conv2dBwdWeightArgs& a, const memory::desc& desc, float* sum) {
  if (a.grad_weight_dtype == DType::f32) {
    convert(at(desc, sum), at(user_weight(a.g, DType::f32), a.grad_weight), a.add_weight);
    return;
  }
  const memory::desc plain = user_weight(a.g, DType::f32);
  const Workspace dense(plain.get_size());
  convert(at(desc, sum), at(plain, dense.data()));
  const int64_t n = static_cast<int64_t>(plain.get_size() / sizeof(float));
  put(a.grad_weight, a.grad_weight_dtype, static_cast<const float*>(dense.data()), n, a.add_weight);
}

bool backward_weight(const Conv2dBwdWeightArgs& a) {
  const Conv2dGeometry& g = a.g;
  if (!backend::onednn::serves(a.dtype) || !has_work(g) || !a.grad_weight) return false;
  const bool has_bias = a.grad_bias != nullptr;
  const Chunks chunks(g, images_per_weight_chunk(g), a.dtype, Direction::backward_weight, has_bias);
  if (!chunks.one_weight_format()) return false;
  const memory::desc& desc = chunks.plan->weight;
  const int64_t n = static_cast<int64_t>(desc.get_size() / sizeof(float));
  const Workspace weights(desc.get_size() * static_cast<size_t>(chunks.count));
  const Workspace biases(
      has_bias ? static_cast<size_t>(g.out_channels * chunks.count) * sizeof(float) : 0);
  float* weight_partials = static_cast<float*>(weights.data());
  float* bias_partials = static_cast<float*>(biases.data());
  parallel_for(chunks.count, [&](int64_t chunk) {
    const Plan& plan = chunks.of(chunk);
    const int64_t first = chunk * chunks.images;
    Arguments arguments{
        {DNNL_ARG_SRC, at(plan.x, image_at(a.x, first, g.in_channels * g.in_h * g.in_w, a.dtype))},
        {DNNL_ARG_DIFF_DST,
         at(plan.y, image_at(a.grad_y, first, g.out_channels * g.out_h * g.out_w, a.dtype))},
        {DNNL_ARG_DIFF_WEIGHTS, at(desc, weight_partials + chunk * n)}};
    if (has_bias)
      arguments.emplace(DNNL_ARG_DIFF_BIAS, at(plan.bias, bias_partials + chunk * g.out_channels));
    execute(plan, std::move(arguments));
  });
  add_partials(weight_partials, n, chunks.count);
  store_weight_gradient(a, desc, weight_partials);
  if (has_bias) {
    add_partials(bias_partials, g.out_channels, chunks.count);
    put(a.grad_bias, a.grad_bias_dtype, bias_partials, g.out_channels, a.add_bias);
  }
  return true;
}

bool guarded_forward(const Conv2dFwdArgs& a) {
  return backend::onednn::guarded("conv2d", forward, a);
}
bool guarded_backward_data(const Conv2dBwdDataArgs& a) {
  return backend::onednn::guarded("conv2d", backward_data, a);
}
bool guarded_backward_weight(const Conv2dBwdWeightArgs& a) {
  return backend::onednn::guarded("conv2d", backward_weight, a);
}

SING_FAST_KERNEL(conv2d_fwd, guarded_forward, 50, "onednn")
SING_FAST_KERNEL(conv2d_bwd_data, guarded_backward_data, 50, "onednn")
SING_FAST_KERNEL(conv2d_bwd_weight, guarded_backward_weight, 50, "onednn")

}  // namespace
}  // namespace sing::kernels
