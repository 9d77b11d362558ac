#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "sing/core/error.h"

namespace sing {

/// Why outside bytes were refused, and where: a position in the bytes that were read.
struct Fault {
  std::string what;
  uint64_t offset = 0;
};

/// A value, or the reason why there is none. Readers of outside bytes return this and throw
/// nothing; one function at the edge of the library turns the reason into an Error.
template <class T, class E = Fault>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit
  Result(E error) : content_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return content_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Asking for the part that is not there is a programming mistake (InternalError).
  T& value() & { return SING_ASSERT(ok()), *std::get_if<0>(&content_); }
  const T& value() const& { return SING_ASSERT(ok()), *std::get_if<0>(&content_); }
  // By value, so that a loop over `f().value()` does not outlive what it walks over.
  T value() && { return SING_ASSERT(ok()), std::move(*std::get_if<0>(&content_)); }
  const E& error() const { return SING_ASSERT(!ok()), *std::get_if<1>(&content_); }

 private:
  std::variant<T, E> content_;
};

}  // namespace sing
