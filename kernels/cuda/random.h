#pragma once
// Random numbers in kernels: those of sing/core/random.h, bit for bit, so a mask does not depend on
// the device it was made on.
#include "kernels/cuda/element.h"
#include "sing/core/random.h"

namespace sing::cuda {

/// A RandomKey on its way into a kernel. A step that is replayed keeps its arguments, so its
/// kernels read the epoch from device memory, which is set before each replay.
struct DeviceKey {
  RandomKey key;
  const uint64_t* epoch;  ///< nullptr: key.epoch
  uint64_t stem;          ///< what seed and purpose add to the words of the key
};

/// The key for a kernel that is launched now; while a step is being captured its epoch is that of
/// Runtime::replay_epoch().
DeviceKey device_key(const RandomKey& key);

/// The two words of sing::philox_key and the half of the counter that is the same for all numbers.
struct PhiloxKey {
  uint32_t k0, k1, position_low, position_high;
};
/// The four numbers of a block.
struct RandomWords {
  uint32_t at[4];
};

inline constexpr uint64_t kKeyStep = 0x9E3779B97F4A7C15ull;
/// SplitMix64's finaliser (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
/// generators").
SING_HOST_DEVICE uint64_t mix_key(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

inline DeviceKey make_device_key(const RandomKey& key, const uint64_t* epoch) {
  return {key, epoch,
          mix_key(mix_key(key.seed + kKeyStep) + static_cast<uint64_t>(key.purpose) + kKeyStep)};
}

SING_DEVICE PhiloxKey philox_key_of(const DeviceKey& device) {
  const uint64_t epoch = device.epoch ? *device.epoch : device.key.epoch;
  const uint64_t word = mix_key(device.stem + epoch + kKeyStep);
  return {static_cast<uint32_t>(word), static_cast<uint32_t>(word >> 32),
          static_cast<uint32_t>(device.key.position),
          static_cast<uint32_t>(device.key.position >> 32)};
}

/// Random numbers 4 * block to 4 * block + 3: Philox4x32-10 (Salmon et al. 2011).
SING_DEVICE RandomWords random_block(const PhiloxKey& key, uint64_t block) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
  uint32_t c2 = key.position_low, c3 = key.position_high, k0 = key.k0, k1 = key.k1;
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = static_cast<uint64_t>(0xD2511F53u) * c0;
    const uint64_t b = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(b);
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(a);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// sing::random_bits(key, index).
SING_DEVICE uint32_t random_word(const PhiloxKey& key, uint64_t index) {
  const RandomWords words = random_block(key, index / 4);
  const uint32_t low = index % 2 ? words.at[1] : words.at[0];
  const uint32_t high = index % 2 ? words.at[3] : words.at[2];
  return index % 4 < 2 ? low : high;
}

}  // namespace sing::cuda
