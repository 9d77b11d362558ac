#pragma once
// Products of bf16 matrices on tensor cores, by whole warps: the instructions of sm_80 and newer
// and, in the emulator, what the PTX ISA says that they do. With lane = 4 g + t a fragment holds
//   A (16 x 16): rows g and g + 8 of columns 2t, 2t+1, then the same of columns 2t+8, 2t+9;
//   B (16 x 8):  rows 2t, 2t+1, then 2t+8, 2t+9 of column g;
//   C (16 x 8):  columns 2t, 2t+1 of row g, then of row g + 8; f32.
#include <cstring>

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace sing::cuda {

/// Two numbers as bf16 in a register, the first in the low half.
SING_DEVICE uint32_t pack_bf16(float low, float high) {
#if defined(__CUDA_ARCH__)
  uint32_t result;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
  return result;
#else
  return static_cast<uint32_t>(narrow_bf16(low).bits) |
         static_cast<uint32_t>(narrow_bf16(high).bits) << 16;
#endif
}

/// What pack_bf16 made, in one access; the address is a multiple of 4.
SING_DEVICE void store_packed(bfloat16* to, uint32_t pair) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<uint32_t*>(to) = pair;
#else
  std::memcpy(static_cast<void*>(to), &pair, sizeof pair);
#endif
}
/// to[0] and to[1].
SING_DEVICE void store_pair(bfloat16* to, float low, float high) {
  store_packed(to, pack_bf16(low, high));
}

/// 16 bytes from memory to shared memory without a register in between; zeros unless `exists`.
/// The caller's copies are there after await_copies().
SING_DEVICE void copy_async(void* shared, const void* from, bool exists) {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))), "l"(from),
                 "r"(exists ? 16 : 0)
               : "memory");
#else
  if (exists)
    std::memcpy(shared, from, 16);
  else
    std::memset(shared, 0, 16);
#endif
}
/// The same for one number.
SING_DEVICE void copy_async_float(float* shared, const float* from, bool exists) {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(shared))), "l"(from),
                 "r"(exists ? 4 : 0)
               : "memory");
#else
  *shared = exists ? *from : 0.0f;
#endif
}
SING_DEVICE void await_copies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/// Four 8 x 8 matrices of bf16 from shared memory: lanes 8 i to 8 i + 7 say where the rows of
/// matrix i begin (16-byte aligned); lane (g, t) gets columns 2t, 2t+1 of row g of each. With
/// kTransposed it gets rows 2t, 2t+1 of column g.
template <bool kTransposed>
SING_DEVICE void load_matrices(uint32_t (&to)[4], const bfloat16* row) {
#if defined(__CUDA_ARCH__)
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(address)
                 : "memory");
#elif defined(SING_CUDA_EMULATED)
  const unsigned char* table = emulator::warp_exchange(0xffffffffu, &row, sizeof row, -1);
  const int g = emulator::lane() / 4, t = emulator::lane() % 4;
  const auto element = [&](int matrix, int r, int c) -> uint32_t {
    const bfloat16* start;
    std::memcpy(&start, table + 16 * (8 * matrix + r), sizeof start);
    return start[c].bits;
  };
  for (int i = 0; i < 4; ++i)
    to[i] = kTransposed ? element(i, 2 * t, g) | element(i, 2 * t + 1, g) << 16
                        : element(i, g, 2 * t) | element(i, g, 2 * t + 1) << 16;
#endif
}

/// c += a b.
SING_DEVICE void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if defined(__CUDA_ARCH__)
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#elif defined(SING_CUDA_EMULATED)
  uint32_t as[kWarp][4], bs[kWarp][4];
  std::memcpy(as, emulator::warp_exchange(0xffffffffu, a, 16, -1), sizeof as);
  const uint32_t b[4] = {b0, b1, 0, 0};
  std::memcpy(bs, emulator::warp_exchange(0xffffffffu, b, 16, -1), sizeof bs);
  const int g = emulator::lane() / 4, t = emulator::lane() % 4;
  const auto half = [](uint32_t pair, int which) {
    return float_of(which == 0 ? pair << 16 : pair & 0xffff0000u);
  };
  for (int i = 0; i < 4; ++i) {
    const int row = g + (i < 2 ? 0 : 8), column = 2 * t + i % 2;
    for (int k = 0; k < 16; ++k)
      c[i] += half(as[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2) *
              half(bs[column * 4 + k % 8 / 2][k / 8], k % 2);
  }
#endif
}

/// 2^x in one instruction, relative error about 2^-22; 0 for -infinity.
SING_DEVICE float fast_exp2(float x) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return std::exp2(x);
#endif
}

}  // namespace sing::cuda
