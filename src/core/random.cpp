#include "sing/core/random.h"

#include <bit>
#include <cmath>

#include "sing/core/error.h"

namespace sing {
namespace {

// SplitMix64's finaliser.
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

std::array<uint32_t, 4> block(const RandomKey& key, uint64_t number) {
  return philox4x32(
      philox_key(key),
      {static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32),
       static_cast<uint32_t>(key.position), static_cast<uint32_t>(key.position >> 32)});
}

uint64_t bits64(const RandomKey& key, uint64_t index) {
  const std::array<uint32_t, 4> words = block(key, index / 2);
  const size_t first = index % 2 ? 2 : 0;
  return words[first] | static_cast<uint64_t>(words[first + 1]) << 32;
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 2> key, std::array<uint32_t, 4> counter) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = 0xD2511F53ull * counter[0], b = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

std::array<uint32_t, 2> philox_key(const RandomKey& key) {
  constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ull;
  const uint64_t word =
      mix(mix(mix(key.seed + kGolden) + static_cast<uint64_t>(key.purpose) + kGolden) + key.epoch +
          kGolden);
  return {static_cast<uint32_t>(word), static_cast<uint32_t>(word >> 32)};
}

uint32_t random_bits(const RandomKey& key, uint64_t index) {
  return block(key, index / 4)[index % 4];
}

double random_uniform(const RandomKey& key, uint64_t index) {
  return (random_bits(key, index) >> 8) * 0x1p-24;
}

uint64_t random_below(const RandomKey& key, uint64_t index, uint64_t n) {
  SING_ASSERT(n > 0);
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(bits64(key, index)) * n) >> 64);
}

double random_normal(const RandomKey& key, uint64_t index) {
  // One block gives one pair (u1 in (0, 1], u2 in [0, 1)), of which the cosine half is used.
  const std::array<uint32_t, 4> w = block(key, index);
  const uint64_t a = w[0] | static_cast<uint64_t>(w[1]) << 32;
  const uint64_t b = w[2] | static_cast<uint64_t>(w[3]) << 32;
  const double u1 = static_cast<double>((a >> 11) + 1) * 0x1p-53;
  const double u2 = static_cast<double>(b >> 11) * 0x1p-53;
  return std::sqrt(-2.0 * std::log(u1)) * std::cos(6.283185307179586476925 * u2);
}

Permutation::Permutation(const RandomKey& key, uint64_t n) : n_(n), key_(philox_key(key)) {
  const uint32_t bits = n > 1 ? static_cast<uint32_t>(std::bit_width(n - 1)) : 1;
  half_bits_ = (bits + 1) / 2;
}

uint64_t Permutation::operator()(uint64_t i) const {
  SING_ASSERT(i < n_);
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {  // cycle walking: the domain is at most 4 n, so about four turns at worst on average
    uint64_t left = i >> half_bits_, right = i & mask;
    for (uint32_t round = 0; round < 4; ++round) {
      const std::array<uint32_t, 4> f = philox4x32(
          key_,
          {static_cast<uint32_t>(right), static_cast<uint32_t>(right >> 32), round, 0x5045524Du});
      const uint64_t next = left ^ ((f[0] | static_cast<uint64_t>(f[1]) << 32) & mask);
      left = right;
      right = next;
    }
    i = left << half_bits_ | right;
  } while (i >= n_);
  return i;
}

uint64_t hash_name(const char* text, size_t size) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (size_t i = 0; i < size; ++i)
    hash = (hash ^ static_cast<unsigned char>(text[i])) * 0x100000001b3ull;
  return hash;
}

}  // namespace sing
