#include "sing/train/state_io.h"

#include "sing/core/error.h"

namespace sing::train {

void StateWriter::visit(const std::string& name, Tensor& tensor) {
  SING_ASSERT(tensors.emplace(name, tensor.to(Device{})).second);
}
void StateWriter::visit(const std::string& name, int64_t& value) {
  numbers.set(name, value);
}
void StateWriter::visit(const std::string& name, double& value) {
  numbers.set(name, value);
}

void StateReader::visit(const std::string& name, Tensor& tensor) {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    problems_.push_back(name + " is missing");
    return;
  }
  ++used_;
  if (it->second.shape() != tensor.shape() || it->second.dtype() != tensor.dtype()) {
    problems_.push_back(name + " is " + describe(it->second) + ", wanted " + describe(tensor));
    return;
  }
  tensor.copy_from(it->second);
}

void StateReader::visit(const std::string& name, int64_t& value) {
  const JsonValue* found = numbers_.find(name);
  if (found && found->is_integer())
    value = found->as_integer();
  else
    problems_.push_back(name + " is missing");
}

void StateReader::visit(const std::string& name, double& value) {
  const JsonValue* found = numbers_.find(name);
  if (found)
    value = found->as_double();
  else
    problems_.push_back(name + " is missing");
}

void StateReader::finish() const {
  std::vector<std::string> all = problems_;
  if (used_ < tensors_.size())
    all.push_back(std::to_string(tensors_.size() - used_) + " saved tensors fit nothing");
  if (all.empty()) return;
  std::string text = "the checkpoint does not fit this model and optimizer:";
  constexpr size_t kShown = 8;
  for (size_t i = 0; i < all.size() && i < kShown; ++i) text += "\n  " + all[i];
  if (all.size() > kShown) text += "\n  and " + std::to_string(all.size() - kShown) + " more";
  throw CheckpointError(text, {}, "continue it with the config it was made with", "E0410");
}

}  // namespace sing::train
