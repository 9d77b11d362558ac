#include "sing/backend/kernel_slot.h"

#include <algorithm>
#include <cstring>

#include "backend/context.h"
#include "sing/core/error.h"

namespace sing::backend {
namespace {

thread_local KernelPath t_path = KernelPath::automatic;

std::vector<const SlotBase*>& listed_slots() {
  static std::vector<const SlotBase*> slots;
  return slots;
}

}  // namespace

KernelPath kernel_path() {
  return t_path;
}

KernelPathGuard::KernelPathGuard(KernelPath path) : before_(t_path) {
  t_path = path;
}
KernelPathGuard::~KernelPathGuard() {
  t_path = before_;
}

std::vector<std::string> SlotBase::fast_names() const {
  std::vector<std::string> names;
  for (size_t i = 0; i < fast_count_; ++i) names.emplace_back(fast_[i].name);
  return names;
}

std::vector<const SlotBase*> SlotBase::all() {
  std::vector<const SlotBase*> slots = listed_slots();
  std::sort(slots.begin(), slots.end(), [](const SlotBase* a, const SlotBase* b) {
    return std::strcmp(a->name(), b->name()) < 0;
  });
  return slots;
}

void SlotBase::set_raw(DeviceType device, AnyKernel kernel) {
  if (!listed_) listed_slots().push_back(this);
  listed_ = true;
  kernels_[static_cast<size_t>(device)] = kernel;
}

void SlotBase::add_fast_raw(AnyKernel kernel, int priority, const char* name) {
  SING_ASSERT(fast_count_ < kMaxFast);
  size_t at = fast_count_++;
  for (; at > 0 && fast_[at - 1].priority < priority; --at) fast_[at] = fast_[at - 1];
  fast_[at] = {kernel, priority, name};
}

bool SlotBase::begin_profiled() {
  if (!profiling() || in_launch()) return false;  // a kernel that calls others is one launch
  begin_launch(0);
  return true;
}

void SlotBase::end_profiled(const char* implementation) const {
  end_launch(std::string(name_) + " [" + implementation + "]");
}

void SlotBase::missing(DeviceType device) const {
  throw NotImplementedError(std::string(name_) + ": no kernel for device " + name_of(device));
}

}  // namespace sing::backend
