#pragma once
#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace sing {

/// The only walk over bytes that came from outside. Reads little-endian values at any alignment and
/// never looks past the end of the span or past `limit` bytes, whichever comes first. A read that
/// does not fit returns nothing and moves nothing; `position()` then says where it was tried.
/// Borrows the bytes. One thread.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes,
                      size_t limit = std::numeric_limits<size_t>::max())
      : bytes_(bytes.first(std::min(bytes.size(), limit))) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  bool at_end() const { return remaining() == 0; }

  /// The next `count` bytes, still owned by the caller's buffer.
  std::optional<std::span<const std::byte>> bytes(uint64_t count) {
    if (count > remaining()) return std::nullopt;
    const auto taken = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return taken;
  }
  /// The next `count` bytes as text; says nothing about their encoding.
  std::optional<std::string_view> text(uint64_t count) {
    const auto taken = bytes(count);
    if (!taken) return std::nullopt;
    return std::string_view(reinterpret_cast<const char*>(taken->data()), taken->size());
  }
  bool skip(uint64_t count) { return bytes(count).has_value(); }

  /// A little-endian integer, or a float or double by its bits.
  template <class T>
  requires(std::integral<T> || std::floating_point<T>) std::optional<T> little() {
    static_assert(!std::is_same_v<T, bool>, "read a u8 and test its value");
    static_assert(std::endian::native == std::endian::little, "swap here for other machines");
    const auto taken = bytes(sizeof(T));
    if (!taken) return std::nullopt;
    T value;
    std::memcpy(&value, taken->data(), sizeof(T));
    return value;
  }
  std::optional<uint8_t> u8() { return little<uint8_t>(); }
  std::optional<uint16_t> u16() { return little<uint16_t>(); }
  std::optional<uint32_t> u32() { return little<uint32_t>(); }
  std::optional<uint64_t> u64() { return little<uint64_t>(); }
  std::optional<int32_t> i32() { return little<int32_t>(); }
  std::optional<int64_t> i64() { return little<int64_t>(); }
  std::optional<float> f32() { return little<float>(); }
  std::optional<double> f64() { return little<double>(); }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

/// The bytes of a text, for functions that take bytes.
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

}  // namespace sing
