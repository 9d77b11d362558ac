#pragma once
#include <array>

#include "sing/backend/memory.h"
#include "sing/backend/profile.h"

namespace sing::backend {

/// What this thread is about, for errors and profiles. In one piece, since each access to a
/// variable of a thread costs a call.
struct Context {
  struct Operand {
    const void* data = nullptr;
    Shape shape;
    DType dtype = DType::f32;
    bool written = false;
  };
  static constexpr int kOperands = 24;  // of an op and the ops around it; what comes later is lost

  MemoryPurpose purpose = MemoryPurpose::others;
  const char* phase = nullptr;
  const char* op = nullptr;
  const char* layer = nullptr;
  int first = 0, count = 0;  // of the operands of the innermost op; behind them nothing counts
  Profile::Recorder* recorder = nullptr;
  std::array<Operand, kOperands> operands;
};

extern constinit thread_local Context t_context;

/// Whether the innermost op of this thread has begun a launch and not ended it; of a profile.
bool in_launch();

}  // namespace sing::backend
