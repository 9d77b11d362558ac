// Batch norm of channels-last images and matrices (inner == 1), f32 and bf16. A chunk of rows stays
// in cache between the pass that finds its mean and the pass that sums squares about it; f32 sums
// span at most kFlush rows and go on in f64. Chunks are merged in order (Chan et al. 1979).
#include "kernels/batch_norm.h"

#include "backend/cpu/simd/elements.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels::SING_SIMD {
namespace {

constexpr int64_t kFlush = 32;

struct Range {
  int64_t begin, end;
};
SING_INLINE Range rows_of(const BatchNormGeometry& g, int64_t chunk) {
  const int64_t rows = batch_norm_rows(g), begin = chunk * rows;
  return {begin, begin + rows < g.outer ? begin + rows : g.outer};
}
SING_INLINE Mask lanes_at(int64_t c, int64_t channels) {
  return first(channels - c < kWidth ? channels - c : kWidth);
}

bool serves(const BatchNormGeometry& g, DType dtype) {
  return g.inner == 1 && g.outer > 0 && g.channels > 0 && is_f32_or_bf16(dtype);
}

/// Mean and sum of squares about it of one chunk: own[0, C) and own[C, 2 C).
template <bool kBf16>
void chunk_stats(const BatchNormStatsArgs& a, int64_t chunk) {
  using E = Elements<kBf16>;
  const int64_t channels = a.g.channels;
  const Range rows = rows_of(a.g, chunk);
  const double n = static_cast<double>(rows.end - rows.begin);
  double* own = a.partials + chunk * 2 * channels;
  for (int64_t c = 0; c < channels; c += kWidth) {
    const Mask lanes = lanes_at(c, channels);
    const int64_t count = channels - c < kWidth ? channels - c : kWidth;
    double sum[kWidth] = {}, squares[kWidth] = {};
    for (int64_t r = rows.begin; r < rows.end; r += kFlush) {
      const int64_t last = r + kFlush < rows.end ? r + kFlush : rows.end;
      vf part{};
      for (int64_t i = r; i < last; ++i) part = part + E::get(a.x, i * channels + c, lanes);
      add_wide(sum, part, kWidth);
    }
    float centre[kWidth];
    for (int i = 0; i < kWidth; ++i) {
      centre[i] = static_cast<float>(sum[i] / n);
      sum[i] = 0;
    }
    const vf mean = load(centre);
    for (int64_t r = rows.begin; r < rows.end; r += kFlush) {
      const int64_t last = r + kFlush < rows.end ? r + kFlush : rows.end;
      vf part{}, square{};
      for (int64_t i = r; i < last; ++i) {
        const vf d = E::get(a.x, i * channels + c, lanes) - mean;
        part = part + d;
        square = fma(d, d, square);
      }
      add_wide(sum, part, kWidth);
      add_wide(squares, square, kWidth);
    }
    for (int64_t i = 0; i < count; ++i) {  // the rounding of the centre is taken out again
      own[c + i] = static_cast<double>(centre[i]) + sum[i] / n;
      own[channels + c + i] = squares[i] - sum[i] * sum[i] / n;
    }
  }
}

void merge_stats(const BatchNormStatsArgs& a, int64_t c) {
  const int64_t channels = a.g.channels, chunks = batch_norm_chunks(a.g);
  double n = 0, mean = 0, squares = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const Range rows = rows_of(a.g, chunk);
    const double more = static_cast<double>(rows.end - rows.begin), total = n + more;
    const double* own = a.partials + chunk * 2 * channels;
    const double delta = own[c] - mean;
    mean += delta * more / total;
    squares += own[channels + c] + delta * delta * n * more / total;
    n = total;
  }
  if (squares < 0) squares = 0;
  a.mean[c] = mean;
  a.inverse_std[c] = 1 / __builtin_sqrt(squares / n + a.eps);
  if (a.running_mean == nullptr) return;
  const double unbiased = squares / (n - 1);
  if (a.running_dtype == DType::f64) {
    double* m = static_cast<double*>(a.running_mean) + c;
    double* v = static_cast<double*>(a.running_var) + c;
    *m += a.momentum * (mean - *m);
    *v += a.momentum * (unbiased - *v);
  } else {
    float* m = static_cast<float*>(a.running_mean) + c;
    float* v = static_cast<float*>(a.running_var) + c;
    *m = static_cast<float>(*m + a.momentum * (mean - *m));
    *v = static_cast<float>(*v + a.momentum * (unbiased - *v));
  }
}

bool stats(const BatchNormStatsArgs& a) {
  if (!serves(a.g, a.dtype)) return false;
  parallel_for(batch_norm_chunks(a.g), [&](int64_t chunk) {
    if (a.dtype == DType::bf16)
      chunk_stats<true>(a, chunk);
    else
      chunk_stats<false>(a, chunk);
  });
  for (int64_t c = 0; c < a.g.channels; ++c) merge_stats(a, c);
  return true;
}

SING_INLINE double parameter(const void* values, DType dtype, int64_t c, double absent) {
  if (values == nullptr) return absent;
  if (dtype == DType::f32) return static_cast<double>(static_cast<const float*>(values)[c]);
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(values)[c]) << 16;
  return static_cast<double>(__builtin_bit_cast(float, bits));
}

template <bool kBf16>
void chunk_apply(const BatchNormApplyArgs& a, int64_t chunk) {
  using E = Elements<kBf16>;
  const int64_t channels = a.g.channels;
  const Range rows = rows_of(a.g, chunk);
  for (int64_t c = 0; c < channels; c += kWidth) {
    const Mask lanes = lanes_at(c, channels);
    const int64_t count = channels - c < kWidth ? channels - c : kWidth;
    float centre[kWidth] = {}, scale[kWidth] = {}, shift[kWidth] = {};
    for (int64_t i = 0; i < count; ++i) {
      const double s = a.inverse_std[c + i] * parameter(a.weight, a.param_dtype, c + i, 1);
      centre[i] = static_cast<float>(a.mean[c + i]);
      scale[i] = static_cast<float>(s);
      shift[i] = static_cast<float>(parameter(a.bias, a.param_dtype, c + i, 0) -
                                    (a.mean[c + i] - static_cast<double>(centre[i])) * s);
    }
    const vf m = load(centre), s = load(scale), b = load(shift);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const int64_t at = r * channels + c;
      E::put(a.y, at, fma(E::get(a.x, at, lanes) - m, s, b), lanes);
    }
  }
}

bool apply(const BatchNormApplyArgs& a) {
  if (!serves(a.g, a.dtype) || !is_f32_or_bf16(a.param_dtype)) return false;
  parallel_for(batch_norm_chunks(a.g), [&](int64_t chunk) {
    if (a.dtype == DType::bf16)
      chunk_apply<true>(a, chunk);
    else
      chunk_apply<false>(a, chunk);
  });
  return true;
}

/// own[0, C): sum of grad_y; own[C, 2 C): sum of grad_y (x - mean).
template <bool kBf16>
void chunk_reduce(const BatchNormBwdReduceArgs& a, int64_t chunk) {
  using E = Elements<kBf16>;
  const int64_t channels = a.g.channels;
  const Range rows = rows_of(a.g, chunk);
  double* own = a.partials + chunk * 2 * channels;
  for (int64_t c = 0; c < channels; c += kWidth) {
    const Mask lanes = lanes_at(c, channels);
    const int64_t count = channels - c < kWidth ? channels - c : kWidth;
    float centre[kWidth] = {};
    for (int64_t i = 0; i < count; ++i) centre[i] = static_cast<float>(a.mean[c + i]);
    const vf m = load(centre);
    double sum[kWidth] = {}, moment[kWidth] = {};
    for (int64_t r = rows.begin; r < rows.end; r += kFlush) {
      const int64_t last = r + kFlush < rows.end ? r + kFlush : rows.end;
      vf s{}, t{};
      for (int64_t i = r; i < last; ++i) {
        const vf g = E::get(a.grad_y, i * channels + c, lanes);
        s = s + g;
        t = fma(g, E::get(a.x, i * channels + c, lanes) - m, t);
      }
      add_wide(sum, s, kWidth);
      add_wide(moment, t, kWidth);
    }
    for (int64_t i = 0; i < count; ++i) {
      own[c + i] = sum[i];
      own[channels + c + i] = moment[i] - (a.mean[c + i] - static_cast<double>(centre[i])) * sum[i];
    }
  }
}

bool bwd_reduce(const BatchNormBwdReduceArgs& a) {
  if (!serves(a.g, a.dtype)) return false;
  const int64_t channels = a.g.channels, chunks = batch_norm_chunks(a.g);
  parallel_for(chunks, [&](int64_t chunk) {
    if (a.dtype == DType::bf16)
      chunk_reduce<true>(a, chunk);
    else
      chunk_reduce<false>(a, chunk);
  });
  for (int64_t c = 0; c < channels; ++c) a.sum_grad[c] = a.sum_grad_xhat[c] = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const double* own = a.partials + chunk * 2 * channels;
    for (int64_t c = 0; c < channels; ++c) {
      a.sum_grad[c] += own[c];
      a.sum_grad_xhat[c] += own[channels + c] * a.inverse_std[c];
    }
  }
  return true;
}

template <bool kBf16>
void chunk_bwd_apply(const BatchNormBwdApplyArgs& a, int64_t chunk) {
  using E = Elements<kBf16>;
  const int64_t channels = a.g.channels;
  const Range rows = rows_of(a.g, chunk);
  const double m = static_cast<double>(a.g.outer);
  for (int64_t c = 0; c < channels; c += kWidth) {
    const Mask lanes = lanes_at(c, channels);
    const int64_t count = channels - c < kWidth ? channels - c : kWidth;
    // grad_x = scale grad_y - slope (x - centre) - shift
    float centre[kWidth] = {}, scale[kWidth] = {}, slope[kWidth] = {}, shift[kWidth] = {};
    for (int64_t i = 0; i < count; ++i) {
      const double k = a.inverse_std[c + i] * parameter(a.weight, a.param_dtype, c + i, 1);
      centre[i] = static_cast<float>(a.mean[c + i]);
      scale[i] = static_cast<float>(k);
      if (a.sum_grad == nullptr) continue;
      const double by_x = k * a.sum_grad_xhat[c + i] * a.inverse_std[c + i] / m;
      slope[i] = static_cast<float>(by_x);
      shift[i] = static_cast<float>(k * a.sum_grad[c + i] / m -
                                    by_x * (a.mean[c + i] - static_cast<double>(centre[i])));
    }
    const vf mean = load(centre), k = load(scale), by_x = load(slope), b = load(shift);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const int64_t at = r * channels + c;
      const vf constant = fma(E::get(a.x, at, lanes) - mean, by_x, b);
      E::put(a.grad_x, at, fma(E::get(a.grad_y, at, lanes), k, -constant), lanes);
    }
  }
}

bool bwd_apply(const BatchNormBwdApplyArgs& a) {
  if (!serves(a.g, a.dtype) || !is_f32_or_bf16(a.param_dtype)) return false;
  parallel_for(batch_norm_chunks(a.g), [&](int64_t chunk) {
    if (a.dtype == DType::bf16)
      chunk_bwd_apply<true>(a, chunk);
    else
      chunk_bwd_apply<false>(a, chunk);
  });
  return true;
}

SING_SIMD_KERNEL(batch_norm_stats, stats, "batch_norm")
SING_SIMD_KERNEL(batch_norm_apply, apply, "batch_norm")
SING_SIMD_KERNEL(batch_norm_bwd_reduce, bwd_reduce, "batch_norm")
SING_SIMD_KERNEL(batch_norm_bwd_apply, bwd_apply, "batch_norm")

}  // namespace
}  // namespace sing::kernels::SING_SIMD
