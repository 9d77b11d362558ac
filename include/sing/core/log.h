#pragma once
#include <string_view>

#include "sing/core/export.h"

namespace sing {

enum class LogLevel : int { debug, info, warning, error, off };

// Diagnostic log of the library (spdlog behind this header, to stderr). What a user follows, the
// progress of a run, is written by train/console instead. Level:
// SING_LOG=debug|info|warning|error|off, default warning. Thread-safe.
SING_API void log(LogLevel level, std::string_view message);
SING_API void set_log_level(LogLevel level);
SING_API LogLevel log_level();

inline void log_debug(std::string_view message) {
  log(LogLevel::debug, message);
}
inline void log_info(std::string_view message) {
  log(LogLevel::info, message);
}
inline void log_warning(std::string_view message) {
  log(LogLevel::warning, message);
}
inline void log_error(std::string_view message) {
  log(LogLevel::error, message);
}

}  // namespace sing
