#include "backend/cpu/check_index.h"

#include <string>

#include "sing/core/error.h"

namespace sing::kernels::cpu {

void index_outside(const char* what, int64_t value, int64_t count, const char* op,
                   int64_t position) {
  const std::string range = count > 0 ? "0.." + std::to_string(count - 1) : "an empty range";
  throw DataError(std::string(what) + " " + std::to_string(value) + " is outside " + range,
                  std::string(op) + ", position " + std::to_string(position), "", "E0305");
}

}  // namespace sing::kernels::cpu
