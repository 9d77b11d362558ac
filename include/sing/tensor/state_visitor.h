#pragma once
#include <cstdint>
#include <string>

#include "sing/tensor/tensor.h"

namespace sing {

/// Walks over mutable training state by name: one pass writes a checkpoint, another reads it back,
/// a third hashes it. Everything that changes during training is shown to a visitor, nowhere else.
class SING_API StateVisitor {
 public:
  virtual ~StateVisitor();
  virtual void visit(const std::string& name, Tensor& tensor) = 0;
  virtual void visit(const std::string& name, int64_t& value) = 0;
  virtual void visit(const std::string& name, double& value) = 0;
};

}  // namespace sing
