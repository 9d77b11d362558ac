#include "sing/backend/layer_scope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "sing/backend/memory.h"
#include "sing/core/error.h"

namespace sing::backend {
namespace {

std::string message() {
  try {
    throw_out_of_memory({}, 1, 0);
  } catch (const OutOfMemoryError& error) {
    return error.what();
  }
}

TEST(LayerScope, NamesTheInnermostLayerBetweenPhaseAndOp) {
  EXPECT_EQ(layer(), nullptr);
  const MemoryScope phase(MemoryPurpose::activations, "forward");
  const OpScope op("linear");
  EXPECT_EQ(message(), "out of memory at forward, linear");
  {
    const LayerScope outer(std::string("blocks.3"));
    {
      const LayerScope inner(std::string("blocks.3.mlp.fc1"));
      EXPECT_EQ(message(), "out of memory at forward, blocks.3.mlp.fc1, linear");
    }
    EXPECT_EQ(message(), "out of memory at forward, blocks.3, linear");
    const LayerScope root{std::string()};  // a model by itself
    EXPECT_EQ(message(), "out of memory at forward, linear");
  }
  EXPECT_EQ(layer(), nullptr);
}

TEST(LayerScope, ANameOutlivesItsLayer) {
  const char* name = nullptr;
  {
    const auto text = std::make_unique<std::string>("head");
    const LayerScope scope(*text);
    name = layer();
  }
  const LayerScope later(name);
  EXPECT_STREQ(layer(), "head");
  const LayerScope same(std::string("head"));
  EXPECT_EQ(layer(), name) << "kept once";
}

}  // namespace
}  // namespace sing::backend
