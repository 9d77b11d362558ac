#include "apps/report_error.h"

#include <cstdio>
#include <new>

#include "sing/config/diagnostic.h"
#include "sing/core/error.h"

namespace sing::apps {
namespace {

void print(const std::string& program, const Error& error) {
  std::fprintf(stderr, "%s: error[%s]: %s\n", program.c_str(), error.code().c_str(), error.what());
  if (!error.where().empty()) std::fprintf(stderr, "  %s\n", error.where().c_str());
  if (!error.hint().empty()) std::fprintf(stderr, "  %s\n", error.hint().c_str());
}

}  // namespace

int report_error(std::exception_ptr error, const std::string& program) {
  try {
    std::rethrow_exception(error);
  } catch (const config::ConfigErrors& errors) {
    std::fputs(config::render(errors, program).c_str(), stderr);
    return static_cast<int>(ExitCode::usage);
  } catch (const Error& failure) {
    print(program, failure);
    return static_cast<int>(failure.exit_code());
  } catch (const std::bad_alloc&) {
    print(program, OutOfMemoryError("out of memory", {}, {}, "E0601"));
    return static_cast<int>(ExitCode::memory);
  } catch (const std::exception& failure) {
    print(program,
          InternalError(failure.what(), {},
                        "this is a fault of SING; please report it with the command line"));
    return static_cast<int>(ExitCode::internal);
  }
}

}  // namespace sing::apps
