#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "sing/core/export.h"

namespace sing {

/// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78; RFC 3720 appendix B.4). `before` is the
/// checksum of the bytes that came before these: crc32c(b, crc32c(a)) == crc32c(a followed by b).
/// Uses the processor's instruction where it has one. Thread-safe.
SING_API uint32_t crc32c(std::span<const std::byte> bytes, uint32_t before = 0);

/// The same by table only, for tests and for processors without the instruction.
SING_API uint32_t crc32c_by_table(std::span<const std::byte> bytes, uint32_t before = 0);

}  // namespace sing
