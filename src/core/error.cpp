#include "sing/core/error.h"

#include <utility>

namespace sing {

Error::Error(std::string code, const std::string& what, std::string where, std::string hint)
    : std::runtime_error(what),
      code_(std::move(code)),
      where_(std::move(where)),
      hint_(std::move(hint)) {}

Error::~Error() = default;

ExitCode Error::exit_code() const noexcept {
  if (code_.size() < 3 || code_[2] < '0' || code_[2] > '9') return ExitCode::internal;
  return static_cast<ExitCode>(code_[2] - '0');
}

// Out of line so that each class has one type information symbol, in libsing.
InternalError::~InternalError() = default;
ShapeError::~ShapeError() = default;
DTypeError::~DTypeError() = default;
NotImplementedError::~NotImplementedError() = default;
BackendError::~BackendError() = default;
ConfigError::~ConfigError() = default;
DeviceError::~DeviceError() = default;
DataError::~DataError() = default;
CheckpointError::~CheckpointError() = default;
DivergedError::~DivergedError() = default;
OutOfMemoryError::~OutOfMemoryError() = default;
BusyError::~BusyError() = default;

OutOfMemoryError::OutOfMemoryError(const std::string& what, std::string where, std::string hint,
                                   std::string code)
    : Error(std::move(code), what, std::move(where), std::move(hint)), base_(what) {}

OutOfMemoryError OutOfMemoryError::at(const std::string& place) const {
  return with_places(places_.empty() ? place : place + ", " + places_);
}

OutOfMemoryError OutOfMemoryError::within(const std::string& place) const {
  return with_places(places_.empty() ? place : places_ + ", " + place);
}

OutOfMemoryError OutOfMemoryError::with_places(std::string places) const {
  OutOfMemoryError result(base_ + " at " + places, where(), hint(), code());
  result.base_ = base_;
  result.places_ = std::move(places);
  return result;
}

OutOfMemoryError OutOfMemoryError::with_hint(std::string hint) const {
  OutOfMemoryError result(what(), where(), std::move(hint), code());
  result.base_ = base_;
  result.places_ = places_;
  return result;
}

void assertion_failed(const char* expression, const char* file, int line) {
  throw InternalError(std::string("assertion failed: ") + expression,
                      std::string(file) + ":" + std::to_string(line),
                      "this is a fault of SING; please report it with the command line");
}

}  // namespace sing
