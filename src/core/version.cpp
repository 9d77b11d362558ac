#include "sing/core/version.h"

namespace sing {

std::string version() {
  return SING_VERSION;
}

}  // namespace sing
