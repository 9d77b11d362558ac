#include "sing/core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace sing {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      return spdlog::level::off;
  }
  return spdlog::level::warn;
}

LogLevel level_from_environment() {
  const char* text = std::getenv("SING_LOG");
  const std::string value = text ? text : "";
  if (value == "debug") return LogLevel::debug;
  if (value == "info") return LogLevel::info;
  if (value == "error") return LogLevel::error;
  if (value == "off") return LogLevel::off;
  return LogLevel::warning;
}

struct Logger {
  LogLevel level = level_from_environment();
  // Not in spdlog's registry: an application's own spdlog setup stays untouched.
  spdlog::logger sink{"sing", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
  Logger() {
    sink.set_pattern("%Y-%m-%dT%H:%M:%S.%e %-7l sing: %v");
    sink.set_level(to_spdlog(level));
  }
};

Logger& logger() {
  static Logger instance;
  return instance;
}

}  // namespace

void log(LogLevel level, std::string_view message) {
  logger().sink.log(to_spdlog(level), "{}", message);
}

void set_log_level(LogLevel level) {
  logger().level = level;
  logger().sink.set_level(to_spdlog(level));
}

LogLevel log_level() {
  return logger().level;
}

}  // namespace sing
