#pragma once
// The one multi-tensor template: any element-wise host with any affine chain applied on load.
//
// A host is a small functor that holds its numbers and has
//   using Element = T;                         // float or double
//   static constexpr int kSlots = 2;           // state per element, at most 3
//   T operator()(T theta, T g, T* state) const // returns the new theta, changes state
// and calls run_update(range, functor). Write it as straight-line code (selects, no branches on
// data): the loop must become vector code. Weight decay has been dealt with before the call.
// A host with a first and a second moment takes (theta, g, first, state): `first` is the gradient
// of the first moment, which differs from g behind adanorm. To all others `first` is the gradient.
//
// A pass that only measures has instead of operator()
//   static constexpr int kSums = 2;
//   void terms(T theta, T g, T first, T* state, double* out) const  // may change state
// where out[k] is summed, and calls run_sums(range, functor, end). Squares are to be made in
// double: of an f32 beyond 1e19 they would overflow. When the sums are complete,
//   void operator()(const double* totals, double* results) const
// of `end` makes of them what the next passes need, once for each tensor. With
//   static constexpr bool kAllTensors = true;
// the totals are those of all tensors of the host; its pass then has one kind of functor.
// A functor of a later pass that has
//   void take(const double* results)
// gets the results of its tensor before anything else is called. Nothing else may look at totals
// and results: on a device they are made there, while the host is elsewhere.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "optim/add_host.h"
#include "optim/target.h"
#include "sing/core/error.h"
#include "sing/optim/host.h"

// run_update, run_sums, split_scale and for_pieces: at once, or taken down for a launch over all
// tensors.
#if defined(SING_OPTIM_DEVICE)
#include "optim/device/elementwise.h"
#else
#include "optim/cpu_elementwise.h"
#endif

namespace sing::optim {

/// Calls f.template operator()<T>() with the element type of the table.
template <class F>
void with_element(DType dtype, F&& f) {
#if !defined(SING_OPTIM_DEVICE)  // devices train f32
  if (dtype == DType::f64) return f.template operator()<double>();
#endif
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
