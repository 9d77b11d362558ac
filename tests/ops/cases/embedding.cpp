#include "sing/ops/embedding.h"

#include "support/op_case.h"

namespace sing::test {

SING_OP_CASE(embedding) {
  c.covers({"embedding_fwd", "embedding_bwd"});
  const auto sample = [&](const char* name, const Shape& weight, const Shape& indices,
                          int64_t padding_idx, DType dtype) {
    c.sample(
        name,
        {in("weight", weight),
         in("at", indices, Fill::index(std::max<int64_t>(weight[0], 1))).keep(dtype)},
        [=](const Inputs& i) { return ops::embedding(i["weight"], i["at"], padding_idx); },
        [](const Inputs& i) {
          const std::vector<double> w = i["weight"].to_vector();
          const size_t width = static_cast<size_t>(i["weight"].size(1));
          std::vector<double> y;
          for (const double row : i["at"].to_vector())
            for (size_t j = 0; j < width; ++j) y.push_back(w[static_cast<size_t>(row) * width + j]);
          return y;
        });
  };
  sample("tokens", {7, 5}, {2, 6}, -1, DType::i64);
  sample("rows met often", {3, 4}, {50}, -1, DType::i32);
  sample("row never met", {90, 2}, {4}, -1, DType::i64);
  sample("one index", {4, 3}, {}, -1, DType::i64);
  sample("no index", {4, 3}, {0, 2}, -1, DType::i64);
  sample("wide rows", {5, 130}, {11}, -1, DType::i64);
  const auto call = [](std::vector<int64_t> at, int64_t padding_idx = -1) {
    const Shape shape{static_cast<int64_t>(at.size())};
    return ops::embedding(Tensor::zeros({4, 2}), Tensor::from(at, shape), padding_idx);
  };
  c.rejects<DataError>("index 4 is outside 0..3", [=] { call({0, 4}); });
  c.rejects<DataError>("index -1 is outside 0..3", [=] { call({-1}); });
  c.rejects<ShapeError>("padding_idx must be below 4", [=] { call({0}, 4); });
  c.rejects<ShapeError>("weight must be (rows, width)", [] {
    ops::embedding(Tensor::zeros({4}), Tensor::zeros({1}, {.dtype = DType::i64}));
  });
  c.rejects<DTypeError>("indices must be i64 or i32", [] {
    ops::embedding(Tensor::zeros({4, 2}), Tensor::zeros({1}));
  });
}

}  // namespace sing::test
