#include "kernels/dropout.h"

#include <algorithm>

#include "backend/cpu/ref/dispatch.h"
#include "sing/core/random.h"
#include "sing/core/thread_pool.h"

namespace sing::kernels {

SING_DEFINE_SLOT(dropout_map, DropoutArgs)

namespace {

constexpr int64_t kGrain = 1 << 12;  // a multiple of the four numbers of a block

template <class T>
void map(const DropoutArgs& a) {
  using V = cpu::compute_t<T>;
  const T* x = static_cast<const T*>(a.x);
  T* y = static_cast<T*>(a.y);
  const V scale = static_cast<V>(a.scale);
  const std::array<uint32_t, 2> key = philox_key(a.key);
  const uint64_t position = a.key.position;
  parallel_ranges(a.n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 4) {
      const uint64_t block = static_cast<uint64_t>(i) / 4;
      const std::array<uint32_t, 4> bits =
          philox4x32(key, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                           static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32)});
      const int64_t last = std::min<int64_t>(end, i + 4);
      for (int64_t k = i; k < last; ++k)
        y[k] = bits[static_cast<size_t>(k - i)] >= a.threshold
                   ? cpu::from_value<T>(static_cast<V>(cpu::to_value(x[k])) * scale)
                   : T{};
    }
  });
}

void dropout_reference(const DropoutArgs& a) {
  cpu::dispatch_floating(a.dtype, [&](auto t) { map<decltype(t)>(a); });
}

SING_REFERENCE_KERNEL(dropout_map, dropout_reference)

}  // namespace
}  // namespace sing::kernels
