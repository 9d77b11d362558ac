#pragma once
#include <string>

#include "sing/core/export.h"

namespace sing {

/// "0.1.0".
SING_API std::string version();

}  // namespace sing
