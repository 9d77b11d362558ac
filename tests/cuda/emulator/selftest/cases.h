#pragma once
// Kernels that keep the rules and kernels that break them, for tests/cuda/emulator_test.cpp. They
// live in a module with an emulator of its own, as a backend does.
#include <string>
#include <vector>

#include "sing/core/export.h"

namespace sing::emulator_cases {

inline constexpr int kThreads = 64;

/// What each thread read of the one before it, with and without a barrier between.
SING_API std::vector<int> neighbours(bool barrier);
/// What a block of the second launch finds in the shared memory that the first one has written.
SING_API float left_in_shared_memory();
/// Numbers of very different size added by atomics from several blocks.
SING_API float sum_in_any_order();
/// Halves of a warp exchange values by themselves, then all lanes together: the sums of lane 0 and
/// of lane 16 over their halves, and of all.
SING_API std::vector<int> sums_of_halves();
/// exp(1) as a kernel finds it.
SING_API float exponential_of_one();
/// 60 KiB of dynamic shared memory: the last byte of it, after it was written.
SING_API int large_shared_memory(bool asked_for);
/// A buffer after a graph of two kernels was captured (first number) and replayed three times.
SING_API std::vector<int> replayed();
/// The same with the second kernel on another stream that waits for the first one.
SING_API std::vector<int> replayed_over_two_streams();
/// The errors of taking memory while capturing, and of ending that capture.
SING_API std::vector<int> memory_while_capturing();

/// What a stream finds that reads what another one writes: 7 where it waits for it with an event.
SING_API int read_on_another_stream(bool waits);
/// The errors of: a copy of pageable memory, waiting for the device, and waiting for uncaptured
/// work, each while a stream captures in relaxed mode; and of ending that capture.
SING_API std::vector<int> broken_captures();
/// The errors of a copy that calls device memory the host's, and of an event recorded on a stream
/// of another device; SING_EMULATOR_DEVICES is 2.
SING_API std::vector<int> refused_calls();

/// These end the process with a sentence; `what` is one of those in cases.cpp.
SING_API void break_rule(const std::string& what);

/// Two launches, of 32 blocks: sums of pairs of zeros, then one more everywhere. The first number,
/// the last one, and how many there are.
SING_API std::vector<int> sums_and_increases();

}  // namespace sing::emulator_cases
