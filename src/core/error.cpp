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

void assertion_failed(const char* expression, const char* file, int line) {
  throw InternalError(std::string("assertion failed: ") + expression,
                      std::string(file) + ":" + std::to_string(line),
                      "this is a fault of SING; please report it with the command line");
}

}  // namespace sing
