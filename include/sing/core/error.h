#pragma once
#include <stdexcept>
#include <string>

#include "sing/core/export.h"

namespace sing {

/// Exit codes of every SING program (docs/exit-codes.md). An error code E0<x>NN ends with <x>.
enum class ExitCode : int {
  ok = 0,
  internal = 1,
  usage = 2,
  data = 3,
  checkpoint = 4,
  diverged = 5,
  memory = 6,
  busy = 7,
  peer = 8,
  stopped = 75,
};

/// Base of everything SING throws. `what()` says what is wrong in the user's words; `where()` the
/// place (file:line:column, op, tensor; may be empty); `hint()` what to do (may be empty).
/// `code()` is "E0<exit>NN": its second digit is the exit code of a program that ends on it.
class SING_API Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& what, std::string where = {}, std::string hint = {});
  ~Error() override;

  const std::string& code() const noexcept { return code_; }
  const std::string& where() const noexcept { return where_; }
  const std::string& hint() const noexcept { return hint_; }
  ExitCode exit_code() const noexcept;

 private:
  std::string code_, where_, hint_;
};

// One class per family, so that callers can catch what they can handle. The default code of each
// is a general one; throw with an explicit code where the message has its own page in the docs.
#define SING_ERROR_CLASS(NAME, DEFAULT_CODE)                                              \
  class SING_API NAME : public Error {                                                    \
   public:                                                                                \
    explicit NAME(const std::string& what, std::string where = {}, std::string hint = {}, \
                  std::string code = DEFAULT_CODE)                                        \
        : Error(std::move(code), what, std::move(where), std::move(hint)) {}              \
    ~NAME() override;                                                                     \
  };

SING_ERROR_CLASS(InternalError, "E0100")        ///< a SING bug
SING_ERROR_CLASS(ShapeError, "E0101")           ///< op arguments whose shapes do not fit
SING_ERROR_CLASS(DTypeError, "E0102")           ///< op arguments whose dtypes do not fit
SING_ERROR_CLASS(NotImplementedError, "E0103")  ///< an op without a kernel on that device
SING_ERROR_CLASS(BackendError, "E0104")         ///< a library or driver call failed
SING_ERROR_CLASS(ConfigError, "E0200")          ///< command line or config
SING_ERROR_CLASS(DeviceError, "E0250")          ///< a device asked for but not usable
SING_ERROR_CLASS(DataError, "E0300")            ///< outside bytes that are missing or damaged
SING_ERROR_CLASS(CheckpointError, "E0400")      ///< not writable, or none usable
SING_ERROR_CLASS(DivergedError, "E0500")        ///< NaN, Inf or policy exhausted
SING_ERROR_CLASS(BusyError, "E0700")            ///< run folder in use
#undef SING_ERROR_CLASS

/// Host or device memory. `where()` says what was asked and what the memory is held for.
class SING_API OutOfMemoryError : public Error {
 public:
  explicit OutOfMemoryError(const std::string& what, std::string where = {}, std::string hint = {},
                            std::string code = "E0600");
  ~OutOfMemoryError() override;

  /// The same error, with `place` before the places known so far: "out of memory at <place>, <so
  /// far>". Those who know more than the allocator (shape, op, step) catch it and throw this.
  OutOfMemoryError at(const std::string& place) const;
  /// The same, with `place` behind the places known so far.
  OutOfMemoryError within(const std::string& place) const;
  /// Where it happened, from the outside in: "step 7, forward, matmul, (32, 16) f32".
  const std::string& places() const noexcept { return places_; }
  /// The same error with another hint.
  OutOfMemoryError with_hint(std::string hint) const;

 private:
  OutOfMemoryError with_places(std::string places) const;
  std::string base_, places_;
};

[[noreturn]] SING_API void assertion_failed(const char* expression, const char* file, int line);

}  // namespace sing

/// Programming mistakes inside SING; stays on in release builds (a check must not vanish).
#define SING_ASSERT(expression) \
  ((expression) ? (void)0 : ::sing::assertion_failed(#expression, __FILE__, __LINE__))
