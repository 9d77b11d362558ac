#include "ops/harness/checks.h"

namespace sing::test {

std::vector<Check> battery() {
  return {{"gradients", check_gradients},
          {"precision", check_precision},
          {"slots", check_slots},
          {"rejects", check_rejects}};
}

}  // namespace sing::test
