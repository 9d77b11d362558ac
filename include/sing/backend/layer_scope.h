#pragma once
#include <string>

#include "sing/core/export.h"

namespace sing::backend {

/// Errors of this thread name the layer while it lives (the innermost), before the op. Ops that are
/// recorded under it name it in the backward pass too.
class SING_API LayerScope {
 public:
  /// The name is kept for the life of the process, once for all layers of that name.
  explicit LayerScope(const std::string& name);
  /// `name` from layer() of an earlier time; nullptr: none.
  explicit LayerScope(const char* name);
  ~LayerScope();
  LayerScope(const LayerScope&) = delete;
  LayerScope& operator=(const LayerScope&) = delete;

 private:
  const char* before_;
};

/// The name set by the innermost LayerScope of this thread; nullptr when there is none. Valid for
/// the life of the process.
SING_API const char* layer();

}  // namespace sing::backend
