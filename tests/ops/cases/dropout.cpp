#include "sing/ops/dropout.h"

#include "support/op_case.h"

namespace sing::test {

SING_OP_CASE(dropout) {
  c.covers({"dropout_map"});
  c.terms(1);
  const RandomKey key{.seed = 11, .purpose = Purpose::dropout, .epoch = 3, .position = 0x123456789};
  const auto sample = [&](const char* name, const Shape& shape, double p) {
    c.sample(
        name, {in("x", shape)}, [=](const Inputs& i) { return ops::dropout(i["x"], p, key); },
        [=](const Inputs& i) {
          std::vector<double> y = i["x"].to_vector();
          for (size_t k = 0; k < y.size(); ++k)
            y[k] = random_bits(key, k) >= p * 0x1p32 ? y[k] / (1 - p) : 0;
          return y;
        });
  };
  sample("matrix", {5, 7}, 0.5);
  sample("image", {2, 3, 4, 5}, 0.1);
  sample("over a chunk", {(1 << 12) + 3}, 0.25);
  sample("many blocks", {3, 67, 5}, 0.9);
  sample("scalar", {}, 0.1);
  sample("empty", {3, 0}, 0.1);
  c.sample("everything dropped", {in("x", {9})},
           [=](const Inputs& i) { return ops::dropout(i["x"], 1, key); });
  c.rejects<ConfigError>("p must be in [0, 1]",
                         [=] { ops::dropout(Tensor::zeros({2}), 1.5, key); });
  c.rejects<DTypeError>("x must be floating",
                        [=] { ops::dropout(Tensor::zeros({2}, {.dtype = DType::i64}), 0.5, key); });
}

}  // namespace sing::test
