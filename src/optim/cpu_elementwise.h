#pragma once
// What elementwise.h says, run at once by the CPU.
#include <algorithm>
#include <type_traits>

#include "optim/split_scale.h"
#include "optim/target.h"
#include "sing/core/thread_pool.h"
#include "sing/optim/host.h"

namespace sing::optim {

/// The affine map of one run of elements, in the element type.
template <class T>
struct LoadMap {
  T mean = 0, mean_low = 0;  // the mean in two parts: f32 would lose the spread of a large one
  T scale = 1, scale_high = 1;
  T lift = 1;     // first moment
  T coupled = 0;  // weight decay as part of the gradient
  /// Nothing to do but subtract and multiply once: what nearly every step of a run is.
  SING_ALWAYS_INLINE bool is_simple() const { return scale_high == 1 && lift == 1 && coupled == 0; }
  SING_ALWAYS_INLINE T transformed(T gradient) const {
    return ((gradient - mean) - mean_low) * scale * scale_high;
  }
};

/// Calls segment(begin, end, map) for runs of the range that share one map.
template <class T, class Segment>
SING_ALWAYS_INLINE void for_segments(const UpdateRange& r, const Segment& segment) {
  const Affine& map = r.affine;
  LoadMap<T> load;
  split_scale(map.scale, load.scale, load.scale_high);
  load.lift = static_cast<T>(map.first_moment);
  load.coupled = static_cast<T>(r.coupled);
  if (map.rows == nullptr && map.row_scale == nullptr) return segment(r.begin, r.end, load);
  int64_t begin = r.begin;
  while (begin < r.end) {
    const int64_t row = begin / map.row_length;
    const int64_t end = std::min(r.end, (row + 1) * map.row_length);
    if (map.rows != nullptr) {
      load.mean = static_cast<T>(map.rows[row].mean);
      load.mean_low = static_cast<T>(map.rows[row].mean - static_cast<double>(load.mean));
    }
    if (map.row_scale != nullptr)
      split_scale(map.row_scale[row] * map.scale, load.scale, load.scale_high);
    segment(begin, end, load);
    begin = end;
  }
}

/// The slots of a range as typed pointers.
template <class T, int kSlots>
struct SlotPointers {
  static_assert(kSlots <= 3);
  T *a, *b, *c;
  SING_ALWAYS_INLINE explicit SlotPointers(const UpdateRange& r)
      : a(static_cast<T*>(r.slots[0])),
        b(static_cast<T*>(r.slots[1])),
        c(static_cast<T*>(r.slots[2])) {}
  SING_ALWAYS_INLINE void load(int64_t i, T* state) const {
    if constexpr (kSlots > 0) state[0] = a[i];
    if constexpr (kSlots > 1) state[1] = b[i];
    if constexpr (kSlots > 2) state[2] = c[i];
  }
  SING_ALWAYS_INLINE void store(int64_t i, const T* state) const {
    if constexpr (kSlots > 0) a[i] = state[0];
    if constexpr (kSlots > 1) b[i] = state[1];
    if constexpr (kSlots > 2) c[i] = state[2];
  }
};

template <class Update>
struct UpdateBody {
  using T = typename Update::Element;
  struct Args {
    const UpdateRange& range;
    const Update& update;
  };

  SING_ALWAYS_INLINE static void run(const Args& a) {
    const UpdateRange& r = a.range;
    for_segments<T>(
        r, [&](int64_t begin, int64_t end, const LoadMap<T>& map) __attribute__((always_inline)) {
          if (map.is_simple())
            segment<true>(r, a.update, begin, end, map);
          else
            segment<false>(r, a.update, begin, end, map);
        });
  }

  template <bool kSimple>
  SING_ALWAYS_INLINE static void segment(const UpdateRange& r, const Update u, int64_t begin,
                                         int64_t end, const LoadMap<T> map) {
    constexpr bool kTwoGradients = std::is_invocable_v<const Update&, T, T, T, T*>;
    T* const value = static_cast<T*>(r.value);
    const T* const gradient = static_cast<const T*>(r.gradient);
    const SlotPointers<T, Update::kSlots> slots(r);
    const T keep = static_cast<T>(1 - r.decay);
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
      T theta = value[i];
      T g = kSimple ? ((gradient[i] - map.mean) - map.mean_low) * map.scale
                    : map.transformed(gradient[i]);
      T first = g;
      if constexpr (!kSimple) {
        first = g * map.lift + map.coupled * theta;
        g += map.coupled * theta;
      }
      T state[3];
      slots.load(i, state);
      if constexpr (kTwoGradients)
        theta = u(theta * keep, g, first, state);
      else
        theta = u(theta * keep, first, state);
      value[i] = theta;
      slots.store(i, state);
    }
  }
};

/// A functor with the results of earlier passes, where it takes them.
template <class Functor>
Functor with_results(Functor functor, const UpdateRange& range) {
  if constexpr (requires { functor.take(range.results); }) functor.take(range.results);
  return functor;
}

/// One step over the range. See the top of elementwise.h for what `plain` must be.
template <class Update>
void run_update(const UpdateRange& range, const Update& plain) {
  const Update update = with_results(plain, range);
  run_best<UpdateBody<Update>>(typename UpdateBody<Update>::Args{range, update});
}

template <class Terms>
struct SumsBody {
  using T = typename Terms::Element;
  static constexpr int kLanes = 16;
  struct Args {
    const UpdateRange& range;
    const Terms& terms;
  };

  SING_ALWAYS_INLINE static void run(const Args& a) {
    const UpdateRange& r = a.range;
    // Lanes by place in the tensor: the order of sums depends neither on the instruction set nor on
    // where one map ends and the next begins.
    double lanes[Terms::kSums][kLanes] = {};
    for_segments<T>(
        r, [&](int64_t begin, int64_t end, const LoadMap<T>& map) __attribute__((always_inline)) {
          int64_t i = begin;
          if (const int first = static_cast<int>(i % kLanes); first != 0 || end - i < kLanes) {
            const int n = static_cast<int>(std::min<int64_t>(kLanes - first, end - i));
            block<0>(r, a.terms, i, n, map, lanes, first);
            i += n;
          }
          for (; i + kLanes <= end; i += kLanes)
            block<kLanes>(r, a.terms, i, kLanes, map, lanes, 0);
          if (i < end) block<0>(r, a.terms, i, static_cast<int>(end - i), map, lanes, 0);
        });
    for (int k = 0; k < Terms::kSums; ++k)
      for (int lane = 0; lane < kLanes; ++lane) r.sums[k] += lanes[k][lane];
  }

  template <int kCount>
  SING_ALWAYS_INLINE static void block(const UpdateRange& r, const Terms t, int64_t begin,
                                       int count, const LoadMap<T> map,
                                       double (&lanes)[Terms::kSums][kLanes], int first) {
    const T* const value = static_cast<const T*>(r.value) + begin;
    const T* const gradient = static_cast<const T*>(r.gradient) + begin;
    const SlotPointers<T, Terms::kSlots> slots(r);
    const int n = kCount > 0 ? kCount : count;
#pragma GCC ivdep
    for (int i = 0; i < n; ++i) {
      const T theta = value[i];
      const T g = map.transformed(gradient[i]);
      T state[3];
      double out[Terms::kSums];
      slots.load(begin + i, state);
      t.terms(theta, g + map.coupled * theta, g * map.lift + map.coupled * theta, state, out);
      slots.store(begin + i, state);
      for (int k = 0; k < Terms::kSums; ++k) lanes[k][first + i] += out[k];
    }
  }
};

/// One measuring pass over the range: adds to range.sums.
template <class Terms>
void run_sums(const UpdateRange& range, const Terms& plain) {
  const Terms terms = with_results(plain, range);
  run_best<SumsBody<Terms>>(typename SumsBody<Terms>::Args{range, terms});
}
/// And what is made of the sums.
template <class Terms, class End>
void run_sums(const UpdateRange& range, const Terms& terms, const End& end) {
  if (range.totals == nullptr) return run_sums(range, terms);
  constexpr bool kAll = requires {
    End::kAllTensors;
  };
  end(kAll ? range.all_totals : range.totals, range.results);
}

/// Writes g' (weight decay and first-moment factor included) of elements [begin, end) of the range
/// to `out`; for hosts that are not element-wise.
template <class T>
struct LoadBody {
  struct Args {
    const UpdateRange& range;
    T* out;
  };
  SING_ALWAYS_INLINE static void run(const Args& a) {
    const UpdateRange& r = a.range;
    const T* const value = static_cast<const T*>(r.value);
    const T* const gradient = static_cast<const T*>(r.gradient);
    T* const out = a.out - r.begin;
    for_segments<T>(
        r, [&](int64_t begin, int64_t end, const LoadMap<T>& map) __attribute__((always_inline)) {
#pragma GCC ivdep
          for (int64_t i = begin; i < end; ++i)
            out[i] = map.transformed(gradient[i]) * map.lift + map.coupled * value[i];
        });
  }
};
template <class T>
void load_gradient(UpdateRange range, int64_t begin, int64_t end, T* out) {
  range.begin = begin;
  range.end = end;
  run_best<LoadBody<T>>(typename LoadBody<T>::Args{range, out});
}

/// Elements of one piece of for_pieces.
inline constexpr int64_t kRangePiece = 16384;

/// Calls f(piece) for pieces of the range, in parallel.
template <class F>
void for_pieces(const UpdateRange& whole, const F& f) {
  parallel_ranges(whole.end - whole.begin, kRangePiece, [&](int64_t begin, int64_t end) {
    UpdateRange piece = whole;
    piece.begin = whole.begin + begin;
    piece.end = whole.begin + end;
    f(piece);
  });
}

}  // namespace sing::optim
