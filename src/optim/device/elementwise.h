#pragma once
// What elementwise.h says, for tensors of a device: taken down in the recorder of the range.
#include <type_traits>

#include "kernels/cuda/optim_update.h"
#include "optim/recorder.h"

namespace sing::optim {
// Names of their own: a program may hold both lives of a host.
inline namespace on_device {

/// Where this backend keeps its tensors.
Device device_of_backend();

template <class Functor>
void record(UpdateKernel kernel, const UpdateRange& range, const Functor& functor) {
  static_assert(std::is_trivially_copyable_v<Functor> && sizeof(Functor) <= cuda::kRuleBytes &&
                Functor::kSlots <= cuda::kRecordSlots);
  range.recorder->record(kernel, &functor, sizeof functor, range);
}

using cuda::split_scale;

template <class Update>
void run_update(const UpdateRange& range, const Update& update) {
  record(&cuda::launch_update<Update>, range, update);
}
/// Terms may also want the index of the element, as a last argument.
template <class Terms, class End>
void run_sums(const UpdateRange& range, const Terms& terms, const End& end) {
  static_assert(Terms::kSums <= cuda::kChunkSums && cuda::kChunkSums == UpdateRange::kMaxSums);
  const cuda::Measuring<Terms, End> both{terms, end};
  static_assert(std::is_trivially_copyable_v<decltype(both)> && sizeof both <= cuda::kRuleBytes &&
                Terms::kSlots <= cuda::kRecordSlots);
  range.recorder->record(&cuda::launch_sums<Terms, End>, &both, sizeof both, range);
}
template <class F>
void for_pieces(const UpdateRange& whole, const F& f) {
  f(whole);
}

}  // namespace on_device
}  // namespace sing::optim
