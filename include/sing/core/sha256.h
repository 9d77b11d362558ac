#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sing/core/export.h"

namespace sing {

/// SHA-256 (FIPS 180-4), in pieces. Used to find damage and to compare, not as a defence against
/// someone who can rewrite the manifest too. One thread.
class SING_API Sha256 {
 public:
  /// `instructions` = false keeps to plain code also where the processor has SHA instructions.
  explicit Sha256(bool instructions = true) : instructions_(instructions) {}

  void update(std::span<const std::byte> bytes);
  /// The digest of everything so far; updating may go on afterwards.
  std::array<std::byte, 32> digest() const;
  /// The digest as 64 lower-case hexadecimal digits.
  std::string hex() const;

 private:
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_{};
  uint64_t length_ = 0;  // bytes so far
  bool instructions_;
};

/// The digest of `bytes` in hexadecimal.
SING_API std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace sing
