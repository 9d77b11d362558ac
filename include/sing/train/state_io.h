#pragma once
#include <map>
#include <string>
#include <vector>

#include "sing/core/export.h"
#include "sing/core/json.h"
#include "sing/tensor/state_visitor.h"

namespace sing::train {

/// Collects what it is shown: tensors by name (sharing memory), numbers into a JSON object.
class SING_API StateWriter : public StateVisitor {
 public:
  void visit(const std::string& name, Tensor& tensor) override;
  void visit(const std::string& name, int64_t& value) override;
  void visit(const std::string& name, double& value) override;
  std::map<std::string, Tensor> tensors;
  JsonValue numbers = JsonValue::object();
};

/// Writes saved values into what it is shown. `finish` throws CheckpointError E0410 that lists what
/// was missing, misshapen or left over; nothing but the state itself is touched.
class SING_API StateReader : public StateVisitor {
 public:
  StateReader(const std::map<std::string, Tensor>& tensors, const JsonValue& numbers)
      : tensors_(tensors), numbers_(numbers) {}
  void visit(const std::string& name, Tensor& tensor) override;
  void visit(const std::string& name, int64_t& value) override;
  void visit(const std::string& name, double& value) override;
  void finish() const;

 private:
  const std::map<std::string, Tensor>& tensors_;
  const JsonValue& numbers_;
  size_t used_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace sing::train
