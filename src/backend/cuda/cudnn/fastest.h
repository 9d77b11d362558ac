#pragma once
#include <functional>
#include <vector>

namespace sing::cuda::cudnn {

using Work = std::function<void()>;

/// How ways to the same result are tried.
struct Trial {
  std::function<double(const Work&)> seconds;   ///< of one run on the device
  std::function<std::vector<float>()> sampled;  ///< some elements of what the last run wrote
  std::function<void()> spoil;                  ///< makes them NaN, for a way that writes nothing
};

struct Fastest {
  size_t way;                   ///< of those that were given
  std::vector<double> seconds;  ///< of each way; not finite for one that failed or disagreed
};

/// Another way than the first, which is known to be right, has to be faster by this much: less is
/// within what two measurements differ by.
inline constexpr double kWorthwhile = 0.97;
/// Largest difference between two ways, of an element or of the samples' root mean square: four
/// roundings to bf16 (2^-9 each).
inline constexpr double kSameResult = 1.0 / 128;

/// Tries every way. One that throws BackendError, or whose result is not that of the first, is left
/// out.
Fastest fastest_of(const std::vector<Work>& ways, const Trial& trial);

}  // namespace sing::cuda::cudnn
