#pragma once
#include <cstdint>

namespace sing::data::rde {

inline constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ull;

/// Finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
/// generators"); arithmetic wraps around at 64 bits.
constexpr uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

/// The numbers one scene is drawn from: SplitMix64 started at a hash of (seed, split, index).
class Stream {
 public:
  constexpr Stream(uint64_t seed, uint64_t split, uint64_t index)
      : state_(mix(mix(mix(seed + kGolden) + split + kGolden) + index + kGolden)) {}

  constexpr uint64_t next() { return mix(state_ += kGolden); }
  /// Integer in lo..hi, both included.
  constexpr int uniform(int lo, int hi) {
    const uint64_t span = static_cast<uint64_t>(hi - lo + 1);
    return lo + static_cast<int>(((next() >> 32) * span) >> 32);
  }

 private:
  uint64_t state_;
};

}  // namespace sing::data::rde
