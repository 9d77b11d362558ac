#pragma once
// The one message for a label or index that is out of range, for all CPU kernels.
#include <cstdint>

namespace sing::kernels::cpu {

/// Throws DataError E0305 "label 100 is outside 0..99" at "cross_entropy, position 17".
[[noreturn]] void index_outside(const char* what, int64_t value, int64_t count, const char* op,
                                int64_t position);

}  // namespace sing::kernels::cpu
