#pragma once
// The one multi-tensor template: any element-wise host with any affine chain applied on load.
//
// A host is a small functor that holds its numbers and has
//   using Element = T;                         // float or double
//   static constexpr int kSlots = 2;           // state per element, at most 3
//   T operator()(T theta, T g, T* state) const // returns the new theta, changes state
// and calls run_update(range, functor). Write it as straight-line code (selects, no branches on
// data): the loop must become vector code. Weight decay has been dealt with before the call.
#include <cmath>
#include <limits>

#include "optim/target.h"
#include "sing/core/error.h"
#include "sing/optim/host.h"

namespace sing::optim {

/// scale = a * b with both factors in the normal range of T; b is 1 unless scale is extreme.
template <class T>
inline void split_scale(double scale, T& a, T& b) {
  a = static_cast<T>(scale);
  b = 1;
  if constexpr (sizeof(T) < sizeof(double)) {
    if (scale == 0 || !std::isfinite(scale)) return;
    const int exponent = std::ilogb(scale);
    if (exponent > -100 && exponent < 100) return;
    const int half = exponent / 2;
    a = static_cast<T>(std::ldexp(scale, -half));
    b = static_cast<T>(std::ldexp(1.0, half));
  }
}

template <class Update>
struct UpdateBody {
  using T = typename Update::Element;
  struct Args {
    const UpdateRange& range;
    const Update& update;
  };

  SING_ALWAYS_INLINE static void segment(const UpdateRange& r, const Update u, int64_t begin,
                                         int64_t end, T mean, T mean_low, T scale, T scale_high) {
    constexpr int kSlots = Update::kSlots;
    static_assert(kSlots <= 3);
    T* const value = static_cast<T*>(r.value);
    const T* const gradient = static_cast<const T*>(r.gradient);
    T* const slot0 = static_cast<T*>(r.slots[0]);
    T* const slot1 = static_cast<T*>(r.slots[1]);
    T* const slot2 = static_cast<T*>(r.slots[2]);
    const T coupled = static_cast<T>(r.coupled);
    const T keep = static_cast<T>(1 - r.decay);
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
      T theta = value[i];
      const T g = ((gradient[i] - mean) - mean_low) * scale * scale_high + coupled * theta;
      T state[3];
      if constexpr (kSlots > 0) state[0] = slot0[i];
      if constexpr (kSlots > 1) state[1] = slot1[i];
      if constexpr (kSlots > 2) state[2] = slot2[i];
      theta = u(theta * keep, g, state);
      value[i] = theta;
      if constexpr (kSlots > 0) slot0[i] = state[0];
      if constexpr (kSlots > 1) slot1[i] = state[1];
      if constexpr (kSlots > 2) slot2[i] = state[2];
    }
  }

  SING_ALWAYS_INLINE static void run(const Args& a) {
    const UpdateRange& r = a.range;
    const Affine& map = r.affine;
    T scale, scale_high;
    split_scale(map.scale, scale, scale_high);
    const bool by_row = map.rows != nullptr || map.row_scale != nullptr;
    const int64_t length = by_row ? map.row_length : r.end - r.begin;
    int64_t begin = r.begin;
    while (begin < r.end) {
      T mean = 0, mean_low = 0;
      int64_t end = r.end;
      if (by_row) {
        const int64_t row = begin / length;
        end = std::min(end, (row + 1) * length);
        if (map.rows != nullptr) {
          // In two parts: f32 alone would lose the spread of a row whose mean is large.
          mean = static_cast<T>(map.rows[row].mean);
          mean_low = static_cast<T>(map.rows[row].mean - static_cast<double>(mean));
        }
        if (map.row_scale != nullptr)
          split_scale(map.row_scale[row] * map.scale, scale, scale_high);
      }
      segment(r, a.update, begin, end, mean, mean_low, scale, scale_high);
      begin = end;
    }
  }
};

/// One step over the range. See the top of this file for what `update` must be.
template <class Update>
void run_update(const UpdateRange& range, const Update& update) {
  run_best<UpdateBody<Update>>(typename UpdateBody<Update>::Args{range, update});
}

/// Calls f.template operator()<T>() with the element type of the table.
template <class F>
void with_element(DType dtype, F&& f) {
  if (dtype == DType::f64) return f.template operator()<double>();
  SING_ASSERT(dtype == DType::f32);
  f.template operator()<float>();
}

/// Calls f.template operator()<flags...>() with run-time flags as compile-time constants.
template <bool... kDone, class F>
void with_flags(F&& f) {
  f.template operator()<kDone...>();
}
template <bool... kDone, class F, class... Flags>
void with_flags(F&& f, bool flag, Flags... flags) {
  if (flag) return with_flags<kDone..., true>(f, flags...);
  with_flags<kDone..., false>(f, flags...);
}

}  // namespace sing::optim
