#pragma once
#include <cstdint>

#include "sing/core/export.h"
#include "sing/core/function_ref.h"

namespace sing {

// The one pool of worker threads for numeric work. Which thread runs a chunk is dynamic; chunk
// borders and the order of every sum are functions of the problem alone, so results do not depend
// on the number of threads.

/// Number of threads that take part, the caller included. Default: SING_NUM_THREADS, else
/// OMP_NUM_THREADS, else the processors this process may use (affinity and cgroup quota).
SING_API int num_threads();
/// n >= 1. Not while a parallel call runs.
SING_API void set_num_threads(int n);
/// Processors this process may use (affinity and cgroup quota).
SING_API int available_processors();

/// Calls body(chunk) for every chunk in 0..chunks-1 and returns when all are done. Thread-safe;
/// nested calls and calls with one chunk run serially in the caller. The first exception (lowest
/// chunk) is thrown again in the caller after all running chunks have ended.
SING_API void parallel_for(int64_t chunks, FunctionRef<void(int64_t chunk)> body);

/// Splits 0..n-1 into ranges of `grain` elements (the last may be shorter) and calls
/// body(begin, end) for each, as parallel_for does. grain >= 1.
SING_API void parallel_ranges(int64_t n, int64_t grain,
                              FunctionRef<void(int64_t begin, int64_t end)> body);

/// True inside a body called by parallel_for.
SING_API bool in_parallel_region();

}  // namespace sing
