#include "sing/nn/context.h"

#include <string>

#include "sing/core/error.h"

namespace sing::nn {
namespace {
thread_local std::optional<ForwardContext::Position> t_position;
}

ForwardContext::ForwardContext(std::optional<Position> position) : before_(t_position) {
  t_position = position;
}
ForwardContext::~ForwardContext() {
  t_position = before_;
}
std::optional<ForwardContext::Position> ForwardContext::current() {
  return t_position;
}

RandomKey dropout_key(uint64_t layer_hash, const char* layer) {
  if (!t_position)
    throw InternalError(std::string(layer) +
                        ": dropout in training needs an nn::ForwardContext around the pass");
  return {.seed = t_position->seed,
          .purpose = Purpose::dropout,
          .epoch = t_position->micro_step,
          .position = layer_hash};
}

}  // namespace sing::nn
