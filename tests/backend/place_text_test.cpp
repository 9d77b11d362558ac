// What an error knows of the op it met.
#include <gtest/gtest.h>

#include <thread>

#include "sing/backend/layer_scope.h"
#include "sing/backend/memory.h"
#include "sing/tensor/tensor.h"

namespace sing::backend {
namespace {

TEST(PlaceText, PhaseLayerOpOperandsAndResults) {
  EXPECT_EQ(place_text(), "");
  const float x = 0, scale = 0, y = 0;
  const MemoryScope phase(MemoryPurpose::activations, "forward");
  const LayerScope layer(std::string("blocks.3.norm1"));
  EXPECT_EQ(place_text(), "forward, blocks.3.norm1");
  const OpScope op("layer_norm");
  EXPECT_EQ(place_text(), "forward, blocks.3.norm1, layer_norm");
  note_operand(&x, {8, 64}, DType::bf16, false);
  note_operand(&scale, {64}, DType::f32, false);
  note_operand(&x, {8, 64}, DType::bf16, false);  // asked for twice
  EXPECT_EQ(place_text(), "forward, blocks.3.norm1, layer_norm, bf16 (8, 64), f32 (64)");
  note_operand(&y, {8, 64}, DType::bf16, true);
  EXPECT_EQ(place_text(),
            "forward, blocks.3.norm1, layer_norm, bf16 (8, 64), f32 (64) -> bf16 (8, 64)");
  note_operand(&x, {4, 128}, DType::bf16, false);  // the same memory, seen otherwise
  EXPECT_EQ(place_text(),
            "forward, blocks.3.norm1, layer_norm, bf16 (8, 64), f32 (64), bf16 (4, 128) -> bf16 "
            "(8, 64)");
}

TEST(PlaceText, AnOpInsideAnotherHasItsOwnOperands) {
  const float x = 0, y = 0;
  const OpScope outer("linear");
  note_operand(&x, {2}, DType::f32, false);
  {
    const OpScope inner("contiguous");
    EXPECT_EQ(place_text(), "contiguous");
    note_operand(&y, {3}, DType::f32, true);
    EXPECT_EQ(place_text(), "contiguous, -> f32 (3)");
  }
  EXPECT_EQ(place_text(), "linear, f32 (2)");
}

TEST(PlaceText, TensorsSayWhatIsTakenOfThem) {
  Tensor x = Tensor::zeros({2, 3});
  Tensor y = Tensor::zeros({3}, {.dtype = DType::f64});
  x.raw();  // outside of an op nobody asks
  const OpScope op("sum");
  x.raw();
  y.mutable_raw();
  EXPECT_EQ(place_text(), "sum, f32 (2, 3) -> f64 (3)");
  std::thread([] { EXPECT_EQ(place_text(), ""); }).join();
}

TEST(PlaceText, HoweverOftenAnOpAsks) {
  const OpScope op("many");
  std::vector<char> places(1000);
  for (const char& place : places) note_operand(&place, {5}, DType::f32, false);
  const std::string text = place_text();
  EXPECT_EQ(text.find("many, f32 (5), f32 (5)"), 0u);
  EXPECT_LT(text.size(), 300u);
  {
    const OpScope inner("inner");
    note_operand(&text, {7}, DType::f32, false);  // no room is left: not wrong, only less
    EXPECT_EQ(place_text(), "inner");
  }
}

}  // namespace
}  // namespace sing::backend
