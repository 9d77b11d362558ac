#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "sing/core/device.h"
#include "sing/core/dtype.h"
#include "sing/core/export.h"
#include "sing/core/shape.h"

// What memory is held for, and what an out-of-memory error says about it.
namespace sing::backend {

/// In the order in which a table lists them.
enum class MemoryPurpose : uint8_t {
  activations,
  optimizer,
  weights,
  gradients,
  workspace,  ///< of one kernel call
  others,     ///< batches of the loader, and whatever says nothing
};
inline constexpr size_t kMemoryPurposes = 6;
SING_API std::string_view name_of(MemoryPurpose purpose);

/// Storage that this thread allocates while it lives is for `purpose`; errors name `phase`
/// ("forward"), a string literal, when it is given.
class SING_API MemoryScope {
 public:
  explicit MemoryScope(MemoryPurpose purpose, const char* phase = nullptr);
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

 private:
  MemoryPurpose purpose_before_;
  const char* phase_before_;
};

/// Errors of this thread name the op `name`, a string literal, while it lives (the innermost), and
/// what that op has taken the addresses of.
class SING_API OpScope {
 public:
  explicit OpScope(const char* name);
  ~OpScope();
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;

 private:
  const char* before_;
  int first_before_;
};

/// An op is about to read or write this; Tensor::raw and mutable_raw say so. A few nanoseconds.
SING_API void note_operand(const void* data, const Shape& shape, DType dtype, bool written);
/// For errors: "forward, blocks.3.norm1, layer_norm, f32 (8, 64, 384), f32 (384) -> f32 (8, 64,
/// 384)": phase, layer and op of this thread, the operands of the op so far and, behind the arrow,
/// its results. What is not known is left out.
SING_API std::string place_text();

/// The op of the innermost OpScope of this thread, or nullptr.
SING_API const char* current_op();
/// The purpose set by the innermost MemoryScope of this thread, else `others`.
SING_API MemoryPurpose memory_purpose();
/// Books `bytes` (negative: given back) that were allocated on `device`. Storage and workspaces do
/// this; `others` needs no booking.
SING_API void book_memory(DeviceType device, MemoryPurpose purpose, int64_t bytes);

/// Bytes held by purpose, and their sum, which is what the device's allocator counts as in use.
struct SING_API MemoryTable {
  std::array<int64_t, kMemoryPurposes> bytes{};
  int64_t total = 0;
  int64_t operator[](MemoryPurpose purpose) const { return bytes[static_cast<size_t>(purpose)]; }
  /// "activations 17.9, optimizer 2.1, weights 0.7, ...", in GiB, MiB or KiB as suits `unit_of`.
  std::string text(int64_t unit_of) const;
};
SING_API MemoryTable memory_table(Device device);

/// "1.50 GiB", "12.0 MiB".
SING_API std::string bytes_text(int64_t bytes);

/// Throws the OutOfMemoryError of an allocator: phase and op, what was asked, what is free of
/// `limit` (0: not known, the system refused) and what holds the rest.
[[noreturn]] SING_API void throw_out_of_memory(Device device, size_t asked, int64_t limit);

}  // namespace sing::backend
