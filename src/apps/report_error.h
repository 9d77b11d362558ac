#pragma once
#include <exception>
#include <string>

namespace sing::apps {

/// Says on stderr what went wrong, where, and what to do; returns the documented exit code.
int report_error(std::exception_ptr error, const std::string& program);

}  // namespace sing::apps
