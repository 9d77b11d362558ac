#include "backend/cpu/scratch.h"

#include "backend/cpu/cpu_runtime.h"

namespace sing::backend::cpu {

Scratch::Scratch(size_t size) : data(cpu_runtime().allocate(size, {})), bytes(size) {}

Scratch::~Scratch() {
  cpu_runtime().release(data, bytes, {});
}

}  // namespace sing::backend::cpu
