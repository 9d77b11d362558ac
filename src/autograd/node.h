#pragma once
#include "sing/autograd/tape.h"

namespace sing::autograd {

struct Edge {
  std::shared_ptr<Meta> meta;  // nullptr: no gradient wanted
  Shape shape;
  DType dtype = DType::f32;
};

struct Node {
  const char* op = "";
  const char* layer = nullptr;  // backend::layer() when it was recorded
  uint64_t sequence = 0;        // later ops have larger numbers
  std::vector<Edge> inputs;
  BackwardFn backward;  // empty once run
  Tensor pending;       // gradient received so far
  bool owns_pending = false;
  bool queued = false;  // waits for its turn in the running backward pass

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();
};

void run_backward(const Tensor& root, const Tensor& gradient);

}  // namespace sing::autograd
