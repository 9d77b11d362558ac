#pragma once
// Plain code compiled for several instruction sets inside one translation unit: the entry functions
// carry the target, what they call is inlined into them. So a host stays one file, and nothing
// built for a newer processor can be shared by the linker with the rest of the program. Values do
// not depend on the set: no contraction, no reassociation.
#include "sing/backend/runtime.h"

#if defined(SING_OPTIM_DEVICE)
// The second life of a host: a part of the CUDA backend (optim/device).
#include "kernels/cuda/element.h"
#define SING_ALWAYS_INLINE SING_HOST_DEVICE
#else
#define SING_ALWAYS_INLINE __attribute__((always_inline)) inline
#endif

// One set is enough under the address sanitizer, where three cost minutes of compiling.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define SING_OPTIM_TARGETS
#define SING_TARGET_AVX2 __attribute__((target("avx2,fma")))
#if defined(__clang__)
#define SING_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#else
#define SING_TARGET_AVX512 \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")))
#endif
#endif

namespace sing::optim {

enum class IsaLevel { base, avx2, avx512 };

inline IsaLevel isa_level() {
  static const IsaLevel level = backend::cpu_isa() == "avx512" ? IsaLevel::avx512
                                : backend::cpu_isa() == "avx2" ? IsaLevel::avx2
                                                               : IsaLevel::base;
  return level;
}

namespace detail {
#if defined(SING_OPTIM_TARGETS)
template <class Body, class Args>
SING_TARGET_AVX2 void run_avx2(const Args& args) {
  Body::run(args);
}
template <class Body, class Args>
SING_TARGET_AVX512 void run_avx512(const Args& args) {
  Body::run(args);
}
#endif
template <class Body, class Args>
void run_base(const Args& args) {
  Body::run(args);
}
}  // namespace detail

/// Calls Body::run(args), an always-inline static function, compiled for the level in use.
template <class Body, class Args>
void run_best(const Args& args) {
#if defined(SING_OPTIM_TARGETS)
  if (isa_level() == IsaLevel::avx512) return detail::run_avx512<Body>(args);
  if (isa_level() == IsaLevel::avx2) return detail::run_avx2<Body>(args);
#endif
  detail::run_base<Body>(args);
}

}  // namespace sing::optim
