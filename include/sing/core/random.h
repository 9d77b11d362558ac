#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "sing/core/export.h"

namespace sing {

// Randomness is a function of (seed, purpose, epoch, position, index), never a stream: nothing has
// to be saved to resume, and no thread count or order of calls can change a number.

/// What random numbers are for. Values are part of the on-disk reproducibility contract: add at the
/// end, never renumber.
enum class Purpose : uint32_t {
  initial_weights = 1,  ///< position: hash of the parameter's name
  shuffle = 2,          ///< epoch: epoch
  augment = 3,          ///< epoch: epoch, position: sample id
  dropout = 4,          ///< epoch: micro-step, position: hash of the layer's name
  synthetic = 5,        ///< position: sample id
  replacement = 6,      ///< of bad samples; epoch: epoch, position: sample position
  test = 7,
};

struct RandomKey {
  uint64_t seed = 0;
  Purpose purpose = Purpose::test;
  uint64_t epoch = 0;
  uint64_t position = 0;
};

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
SING_API std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 2> key,
                                            std::array<uint32_t, 4> counter);

/// The two key words of a RandomKey's (seed, purpose, epoch); the counter is
/// (block low, block high, position low, position high). The same on every backend.
SING_API std::array<uint32_t, 2> philox_key(const RandomKey& key);

/// The 32 random bits number `index` under `key` (word index % 4 of block index / 4).
SING_API uint32_t random_bits(const RandomKey& key, uint64_t index);
/// Uniform in [0, 1): 24 bits as a float-exact double.
SING_API double random_uniform(const RandomKey& key, uint64_t index);
/// Uniform integer in 0..n-1 (multiply-shift of 64 bits; bias below n / 2^64). n > 0.
SING_API uint64_t random_below(const RandomKey& key, uint64_t index, uint64_t n);
/// Standard normal (Box-Muller of the 53-bit pair number `index`).
SING_API double random_normal(const RandomKey& key, uint64_t index);

/// Counts indices for the caller; its whole state is the key, so it is made anew where needed.
class Random {
 public:
  explicit Random(const RandomKey& key) : key_(key) {}
  double uniform() { return random_uniform(key_, next_++); }
  uint64_t below(uint64_t n) { return random_below(key_, next_++, n); }
  double normal() { return random_normal(key_, next_++); }
  const RandomKey& key() const { return key_; }

 private:
  RandomKey key_;
  uint64_t next_ = 0;
};

/// A permutation of 0..n-1 as a function (4-round keyed Feistel network with cycle walking):
/// element i is found without computing the others, so seeking in an epoch costs nothing.
class SING_API Permutation {
 public:
  /// n >= 0; key.position is not used.
  Permutation(const RandomKey& key, uint64_t n);
  uint64_t size() const { return n_; }
  /// Image of i, i < size().
  uint64_t operator()(uint64_t i) const;

 private:
  uint64_t n_;
  uint32_t half_bits_;
  std::array<uint32_t, 2> key_;
};

/// FNV-1a; turns names into positions.
SING_API uint64_t hash_name(const char* text, size_t size);

}  // namespace sing
