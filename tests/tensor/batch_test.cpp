#include "sing/tensor/batch.h"

#include <gtest/gtest.h>

#include "sing/core/error.h"

namespace sing {
namespace {

Batch example() {
  return {{"scale", Tensor::scalar(8)},
          {"inputs", Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2})},
          {"targets", Tensor::from(std::vector<float>{7, 8, 9}, {3})}};
}

TEST(Batch, FindsTensorsByName) {
  Batch batch = example();
  EXPECT_EQ(batch.size(), 3) << "rank 0 does not count samples";
  EXPECT_EQ(batch.inputs().shape(), Shape({3, 2}));
  EXPECT_EQ(batch.find("ids"), nullptr);
  batch.set("targets", Tensor::zeros({3, 1}));
  EXPECT_EQ(batch.targets().shape(), Shape({3, 1}));
  EXPECT_EQ(batch.entries().size(), 3u) << "replaced, not added";
  EXPECT_EQ(Batch().size(), 0);
  try {
    batch.at("ids");
    FAIL();
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(), "batch: no tensor is named 'ids'; there are: scale, inputs, targets");
  }
}

TEST(Batch, NarrowsSamplesButNotWholeBatchTensors) {
  const Batch part = example().narrow(1, 2);
  EXPECT_EQ(part.inputs().to_vector(), (std::vector<double>{3, 4, 5, 6}));
  EXPECT_EQ(part.targets().to_vector(), (std::vector<double>{8, 9}));
  EXPECT_EQ(part.at("scale").item(), 8);
}

}  // namespace
}  // namespace sing
