#include <algorithm>

#include "kernels/pool.h"
#include "ops/vision_checks.h"
#include "sing/autograd/tape.h"
#include "sing/backend/memory.h"
#include "sing/ops/pool.h"

namespace sing::ops {
namespace {

MemoryFormat format_of(const Tensor& x) {
  return x.is_channels_last() ? MemoryFormat::channels_last : MemoryFormat::contiguous;
}

kernels::Pool2dGeometry geometry(const char* op, const Tensor& x, const Pool2dOptions& o) {
  check_floating(op, "x", x);
  check_rank4(op, x);
  const std::array<int64_t, 2> stride = o.stride.value_or(o.kernel);
  kernels::Pool2dGeometry g{};
  g.n = x.size(0);
  g.channels = x.size(1);
  g.in_h = x.size(2);
  g.in_w = x.size(3);
  g.kernel_h = o.kernel[0];
  g.kernel_w = o.kernel[1];
  g.stride_h = stride[0];
  g.stride_w = stride[1];
  g.pad_h = o.padding[0];
  g.pad_w = o.padding[1];
  g.out_h = window_count(op, g.in_h, g.kernel_h, g.stride_h, g.pad_h);
  g.out_w = window_count(op, g.in_w, g.kernel_w, g.stride_w, g.pad_w);
  // Every window then holds at least one pixel.
  if (2 * g.pad_h > g.kernel_h || 2 * g.pad_w > g.kernel_w)
    throw ShapeError(std::string(op) + ": padding must be at most half the kernel (" +
                     std::to_string(g.kernel_h) + ", " + std::to_string(g.kernel_w) + "); got (" +
                     std::to_string(g.pad_h) + ", " + std::to_string(g.pad_w) + ")");
  return g;
}

Tensor pool(const char* op, const Tensor& x_in, kernels::Pool2dGeometry g, kernels::Pooling kind) {
  const backend::OpScope scope(op);
  const MemoryFormat format = format_of(x_in);
  const Tensor x = x_in.contiguous(format);
  const Shape out{g.n, g.channels, g.out_h, g.out_w};
  Tensor y = Tensor::empty(out, {.dtype = x.dtype(), .device = x.device(), .format = format});
  std::copy(x.strides().begin(), x.strides().end(), g.x_strides);
  std::copy(y.strides().begin(), y.strides().end(), g.y_strides);
  const bool recorded = autograd::will_record({x_in});
  Tensor winner;
  if (recorded && kind == kernels::Pooling::max)
    winner = Tensor::empty(out, {.dtype = DType::i32, .device = x.device(), .format = format});
  kernels::pool2d_fwd(x.device().type, {g,
                                        kind,
                                        x.raw(),
                                        y.mutable_raw(),
                                        winner.defined() ? winner.mutable_data<int32_t>() : nullptr,
                                        x.dtype(),
                                        {}});
  if (!recorded) return y;
  return autograd::record(
      op, {x_in}, y, [g, kind, format, winner](const Tensor& grad, const autograd::Needs&) {
        const Tensor grad_y = grad.contiguous(format);
        Tensor grad_x =
            Tensor::empty({g.n, g.channels, g.in_h, g.in_w},
                          {.dtype = grad.dtype(), .device = grad.device(), .format = format});
        kernels::pool2d_bwd(grad.device().type,
                            {g,
                             kind,
                             grad_y.raw(),
                             winner.defined() ? winner.data<int32_t>() : nullptr,
                             grad_x.mutable_raw(),
                             grad.dtype(),
                             {}});
        return autograd::GradList{grad_x};
      });
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options) {
  return pool("max_pool2d", x, geometry("max_pool2d", x, options), kernels::Pooling::max);
}

Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options, bool count_include_pad) {
  kernels::Pool2dGeometry g = geometry("avg_pool2d", x, options);
  g.count_include_pad = count_include_pad;
  return pool("avg_pool2d", x, g, kernels::Pooling::average);
}

Tensor global_avg_pool(const Tensor& x) {
  check_rank4("global_avg_pool", x);
  const Pool2dOptions whole{.kernel = {x.size(2), x.size(3)}};
  return pool("global_avg_pool", x, geometry("global_avg_pool", x, whole),
              kernels::Pooling::average);
}

Tensor blur_pool(const Tensor& x, int64_t stride) {
  const Pool2dOptions o{.kernel = {3, 3}, .stride = {{stride, stride}}, .padding = {1, 1}};
  return pool("blur_pool", x, geometry("blur_pool", x, o), kernels::Pooling::blur);
}

}  // namespace sing::ops
