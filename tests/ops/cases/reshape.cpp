#include "sing/ops/reshape.h"

#include "sing/ops/gather.h"
#include "support/op_case.h"

namespace sing::test {
namespace {

using Op = std::function<Tensor(const Tensor&)>;
/// For each output element, by its index, the row-major number of the input element it is
/// (-1: `fill`).
using Source = std::function<int64_t(const std::vector<int64_t>&)>;

std::vector<int64_t> index_of(int64_t number, const Shape& shape) {
  std::vector<int64_t> index(static_cast<size_t>(shape.rank()));
  for (int d = shape.rank() - 1; d >= 0; --d) {
    index[static_cast<size_t>(d)] = number % shape[d];
    number /= shape[d];
  }
  return index;
}

int64_t number_of(const std::vector<int64_t>& index, const Shape& shape) {
  int64_t number = 0;
  for (int d = 0; d < shape.rank(); ++d) number = number * shape[d] + index[static_cast<size_t>(d)];
  return number;
}

Formula moved(const Shape& out, const Source& source, double fill = 0) {
  return [=](const Inputs& i) {
    const std::vector<double> x = i["x"].to_vector();
    std::vector<double> y;
    for (int64_t k = 0; k < out.numel(); ++k) {
      const int64_t from = source(index_of(k, out));
      y.push_back(from < 0 ? fill : x[static_cast<size_t>(from)]);
    }
    return y;
  };
}

void sample(OpCase& c, const char* name, const Shape& shape, const Op& op,
            const Formula& formula = {}) {
  c.sample(
      name, {in("x", shape)}, [op](const Inputs& i) { return op(i["x"]); }, formula);
}

Formula unchanged() {
  return [](const Inputs& i) { return i["x"].to_vector(); };
}

}  // namespace

SING_OP_CASE(reshape) {
  c.covers({"strided_copy"});
  sample(
      c, "split", {4, 6},
      [](const Tensor& x) {
        return ops::reshape(x, {2, 2, -1});
      },
      unchanged());
  sample(
      c, "merge", {2, 3, 4},
      [](const Tensor& x) {
        return ops::reshape(x, {6, 4});
      },
      unchanged());
  sample(
      c, "flatten", {2, 3, 4, 5}, [](const Tensor& x) { return ops::flatten(x, 1); }, unchanged());
  sample(
      c, "to scalar", {1, 1}, [](const Tensor& x) { return ops::reshape(x, {}); }, unchanged());
  sample(
      c, "flatten scalar", {}, [](const Tensor& x) { return ops::flatten(x); }, unchanged());
  sample(
      c, "empty", {0, 3},
      [](const Tensor& x) {
        return ops::reshape(x, {3, 0});
      },
      unchanged());
  c.rejects<ShapeError>("reshape: wanted 6 elements as in (2, 3); got (4)", [] {
    ops::reshape(Tensor::zeros({2, 3}), {4});
  });
  c.rejects<ShapeError>("reshape: wanted 6 elements as in (2, 3); got (-1, 4)", [] {
    ops::reshape(Tensor::zeros({2, 3}), {-1, 4});
  });
  c.rejects<ShapeError>("at most one -1; got (-1, -1)", [] {
    ops::reshape(Tensor::zeros({2, 3}), {-1, -1});
  });
  c.rejects<ShapeError>("flatten: wanted first <= last", [] {
    ops::flatten(Tensor::zeros({2, 3}), 1, 0);
  });
}

SING_OP_CASE(permute) {
  c.covers({"strided_copy"});
  sample(
      c, "rotate", {2, 3, 4},
      [](const Tensor& x) {
        return ops::permute(x, {2, 0, 1});
      },
      moved({4, 2, 3}, [](const auto& i) { return (i[1] * 3 + i[2]) * 4 + i[0]; }));
  sample(c, "image to pixels", {2, 3, 4, 5}, [](const Tensor& x) {
    return ops::permute(x, {0, 2, 3, -3});
  });
  sample(
      c, "transpose", {3, 5}, [](const Tensor& x) { return ops::transpose(x, 0, -1); },
      moved({5, 3}, [](const auto& i) { return i[1] * 5 + i[0]; }));
  sample(c, "empty", {0, 2}, [](const Tensor& x) { return ops::permute(x, {1, 0}); });
  c.rejects<ShapeError>("permute", [] { ops::permute(Tensor::zeros({2, 3}), {0}); });
  c.rejects<ShapeError>("permute", [] { ops::permute(Tensor::zeros({2, 3}), {0, 0}); });
}

SING_OP_CASE(permuted_copy) {
  c.covers({"strided_copy"});
  sample(
      c, "rotate", {2, 3, 4},
      [](const Tensor& x) {
        return ops::permuted_copy(x, {2, 0, 1}, x.dtype());
      },
      moved({4, 2, 3}, [](const auto& i) { return (i[1] * 3 + i[2]) * 4 + i[0]; }));
  // Rows of 8 and of 16 elements stay together, as in patches of images; of 6 they do not fit
  // packs.
  const auto rows = [](const Tensor& x) {
    return ops::permuted_copy(x, {0, 2, 1, 3, 4}, x.dtype());
  };
  sample(c, "rows of 6", {2, 3, 2, 4, 6}, rows);
  sample(c, "rows of 8", {2, 3, 2, 4, 8}, rows);
  sample(c, "rows of 16", {2, 3, 2, 1, 16}, rows);
  sample(c, "nothing moves", {2, 3}, [](const Tensor& x) {
    return ops::permuted_copy(x, {0, 1}, x.dtype());
  });
  sample(c, "empty", {0, 2}, [](const Tensor& x) {
    return ops::permuted_copy(x, {1, 0}, x.dtype());
  });
  c.rejects<ShapeError>("permute", [] {
    ops::permuted_copy(Tensor::zeros({2, 3}), {0}, DType::f32);
  });
  c.rejects<DTypeError>("permuted_copy: wanted a floating dtype", [] {
    ops::permuted_copy(Tensor::zeros({2, 3}), {1, 0}, DType::i64);
  });
}

SING_OP_CASE(narrow) {
  c.covers({"strided_copy"});
  sample(
      c, "middle", {4, 5}, [](const Tensor& x) { return ops::narrow(x, 1, 1, 3); },
      moved({4, 3}, [](const auto& i) { return i[0] * 5 + i[1] + 1; }));
  sample(
      c, "select", {4, 5, 2}, [](const Tensor& x) { return ops::select(x, -2, 4); },
      moved({4, 2}, [](const auto& i) { return (i[0] * 5 + 4) * 2 + i[1]; }));
  sample(c, "rows", {4, 5}, [](const Tensor& x) { return ops::narrow(x, 0, 2, 2); });
  sample(c, "nothing", {4, 5}, [](const Tensor& x) { return ops::narrow(x, 0, 4, 0); });
  c.rejects<ShapeError>("narrow", [] { ops::narrow(Tensor::zeros({3}), 0, 2, 2); });
  c.rejects<ShapeError>("narrow", [] { ops::select(Tensor::zeros({3}), 0, 3); });
}

SING_OP_CASE(expand) {
  c.covers({"reduce"});
  sample(
      c, "rows", {5},
      [](const Tensor& x) {
        return ops::expand(x, {3, 5});
      },
      moved({3, 5}, [](const auto& i) { return i[1]; }));
  sample(
      c, "columns", {4, 1},
      [](const Tensor& x) {
        return ops::expand(x, {4, 6});
      },
      moved({4, 6}, [](const auto& i) { return i[0]; }));
  sample(c, "unsqueezed", {4, 3}, [](const Tensor& x) {
    return ops::expand(ops::unsqueeze(x, 1), {4, 2, 3});
  });
  sample(c, "same", {4, 3}, [](const Tensor& x) { return ops::expand(x, {4, 3}); });
  sample(c, "scalar", {}, [](const Tensor& x) { return ops::expand(x, {2, 2}); });
  c.rejects<ShapeError>("expand", [] { ops::expand(Tensor::zeros({2}), {3}); });
}

SING_OP_CASE(squeeze) {
  c.covers({"strided_copy"});
  sample(
      c, "squeeze", {3, 1, 4}, [](const Tensor& x) { return ops::squeeze(x, 1); }, unchanged());
  sample(
      c, "unsqueeze last", {3, 4}, [](const Tensor& x) { return ops::unsqueeze(x, -1); },
      unchanged());
  sample(
      c, "unsqueeze first", {3, 4}, [](const Tensor& x) { return ops::unsqueeze(x, 0); },
      unchanged());
  sample(c, "both", {1, 4}, [](const Tensor& x) { return ops::unsqueeze(ops::squeeze(x, 0), 1); });
  c.rejects<ShapeError>("squeeze", [] { ops::squeeze(Tensor::zeros({2}), 0); });
  c.rejects<ShapeError>("unsqueeze", [] { ops::unsqueeze(Tensor::zeros({2}), 3); });
}

SING_OP_CASE(contiguous) {
  c.covers({"strided_copy"});
  sample(
      c, "image", {2, 3, 4, 5}, [](const Tensor& x) { return ops::contiguous(x); }, unchanged());
  sample(
      c, "channels last", {2, 3, 4, 5},
      [](const Tensor& x) { return ops::contiguous(x, MemoryFormat::channels_last); }, unchanged());
  sample(
      c, "matrix", {4, 5}, [](const Tensor& x) { return ops::contiguous(x); }, unchanged());
  c.rejects<ShapeError>("channels_last needs 4 dimensions",
                        [] { ops::contiguous(Tensor::zeros({2}), MemoryFormat::channels_last); });
}

SING_OP_CASE(cast) {
  c.covers({"strided_copy"});
  c.terms(1);
  // f64 must stay f64 for the differences; the samples are exact in every narrower dtype.
  const auto to = [](DType f32_to, DType bf16_to) {
    return [=](const Tensor& x) {
      return ops::cast(x, x.dtype() == DType::f64   ? DType::f64
                          : x.dtype() == DType::f32 ? f32_to
                                                    : bf16_to);
    };
  };
  sample(c, "f32 and bf16", {4, 37}, to(DType::bf16, DType::f32), unchanged());
  sample(c, "over a chunk", {(1 << 14) + 5}, to(DType::bf16, DType::f32), unchanged());
  sample(c, "image", {2, 3, 4, 5}, to(DType::f16, DType::f16), unchanged());
  c.sample("to integers", {in("x", {4, 5}, Fill::normal(10)).no_grad()},
           [](const Inputs& i) { return ops::cast(i["x"], DType::i32); });
  c.sample("to flags", {in("x", {6}, Fill::values({0, 1, -2})).no_grad()},
           [](const Inputs& i) { return ops::cast(i["x"], DType::boolean); });
  c.rejects<DTypeError>("only floating tensors have gradients",
                        [] { ops::cast(Tensor::zeros({2}), DType::i64).set_requires_grad(); });
}

SING_OP_CASE(concat) {
  c.covers({"strided_copy"});
  c.sample("columns", {in("a", {3, 2}), in("b", {3, 5}), in("c", {3, 1})}, [](const Inputs& i) {
    return ops::concat({i["a"], i["b"], i["c"]}, 1);
  });
  c.sample(
      "rows", {in("a", {3, 4}), in("b", {1, 4})},
      [](const Inputs& i) {
        return ops::concat({i["a"], i["b"]}, 0);
      },
      [](const Inputs& i) {
        std::vector<double> y = i["a"].to_vector();
        const std::vector<double> b = i["b"].to_vector();
        y.insert(y.end(), b.begin(), b.end());
        return y;
      });
  c.sample("token", {in("a", {2, 1, 4}), in("b", {2, 5, 4})}, [](const Inputs& i) {
    return ops::concat({i["a"], i["b"]}, -2);
  });
  c.sample("reused input", {in("a", {2, 3})}, [](const Inputs& i) {
    return ops::concat({i["a"], i["a"]}, 0);
  });
  c.sample("with nothing", {in("a", {2, 3}), in("b", {0, 3})}, [](const Inputs& i) {
    return ops::concat({i["a"], i["b"]}, 0);
  });
  c.rejects<ShapeError>("concat: wanted at least one tensor", [] { ops::concat({}, 0); });
  c.rejects<ShapeError>("wanted equal sizes except along dimension 0; got (2, 3) and (2, 4)", [] {
    ops::concat({Tensor::zeros({2, 3}), Tensor::zeros({2, 4})}, 0);
  });
  c.rejects<DTypeError>("concat: wanted one dtype", [] {
    ops::concat({Tensor::zeros({2}), Tensor::zeros({2}, {.dtype = DType::f64})}, 0);
  });
}

SING_OP_CASE(stack) {
  c.covers({"strided_copy"});
  for (const int dim : {0, 1, -1})
    c.sample("dimension " + std::to_string(dim), {in("a", {3, 2}), in("b", {3, 2})},
             [dim](const Inputs& i) {
               return ops::stack({i["a"], i["b"]}, dim);
             });
  c.sample("scalars", {in("a", {}), in("b", {})}, [](const Inputs& i) {
    return ops::stack({i["a"], i["b"]}, 0);
  });
  c.rejects<ShapeError>("concat", [] { ops::stack({Tensor::zeros({2}), Tensor::zeros({3})}, 0); });
}

SING_OP_CASE(split) {
  c.covers({"strided_copy"});
  sample(
      c, "swap parts", {2, 7},
      [](const Tensor& x) {
        const std::vector<Tensor> parts = ops::split(x, {3, 0, 4}, 1);
        return ops::concat({parts[2], parts[1], parts[0]}, 1);
      },
      moved({2, 7}, [](const auto& i) { return i[0] * 7 + (i[1] + 3) % 7; }));
  sample(
      c, "one chunk", {6, 2}, [](const Tensor& x) { return ops::chunk(x, 3, 0)[1]; },
      moved({2, 2}, [](const auto& i) { return (i[0] + 2) * 2 + i[1]; }));
  sample(c, "all chunks", {2, 3, 4},
         [](const Tensor& x) { return ops::concat(ops::chunk(x, 2, -1), 0); });
  c.rejects<ShapeError>("split: wanted sizes that add up to 5; got 4", [] {
    ops::split(Tensor::zeros({5}), {2, 2}, 0);
  });
  c.rejects<ShapeError>("chunk: wanted a count that divides 5; got 2",
                        [] { ops::chunk(Tensor::zeros({5}), 2, 0); });
}

SING_OP_CASE(pad) {
  c.covers({"fill", "strided_copy"});
  const Shape out{4, 7};
  sample(
      c, "around", {3, 4},
      [](const Tensor& x) {
        return ops::pad(x, {1, 0}, {0, 3}, -1.5);
      },
      moved(
          out,
          [](const auto& i) {
            return i[0] < 1 || i[1] > 3 ? -1 : number_of({i[0] - 1, i[1]}, {3, 4});
          },
          -1.5));
  sample(c, "image", {2, 3, 4, 5}, [](const Tensor& x) {
    return ops::pad(x, {0, 0, 1, 1}, {0, 0, 1, 1});
  });
  sample(
      c, "nothing", {3}, [](const Tensor& x) { return ops::pad(x, {0}, {0}); }, unchanged());
  sample(c, "empty", {0, 2}, [](const Tensor& x) { return ops::pad(x, {1, 1}, {1, 1}, 2); });
  c.rejects<ShapeError>("pad: wanted 1 sizes before and after", [] {
    ops::pad(Tensor::zeros({2}), {1, 1}, {0});
  });
  c.rejects<ShapeError>("pad: wanted sizes that fit 63 bits",
                        [] { ops::pad(Tensor::zeros({2}), {INT64_MAX}, {1}); });
  c.rejects<ShapeError>("pad: wanted sizes of 0 or more; got -1",
                        [] { ops::pad(Tensor::zeros({2}), {-1}, {0}); });
}

SING_OP_CASE(flip) {
  c.covers({"strided_copy"});
  sample(
      c, "last", {3, 5}, [](const Tensor& x) { return ops::flip(x, -1); },
      moved({3, 5}, [](const auto& i) { return i[0] * 5 + 4 - i[1]; }));
  sample(
      c, "first", {3, 5}, [](const Tensor& x) { return ops::flip(x, 0); },
      moved({3, 5}, [](const auto& i) { return (2 - i[0]) * 5 + i[1]; }));
  sample(c, "image", {2, 3, 4, 5}, [](const Tensor& x) { return ops::flip(x, 3); });
  sample(c, "empty", {0, 2}, [](const Tensor& x) { return ops::flip(x, 0); });
  c.rejects<ShapeError>("", [] { ops::flip(Tensor::zeros({2}), 1); });
}

SING_OP_CASE(gather) {
  c.covers({"gather", "gather_bwd"});
  const auto gather_sample = [&](const char* name, const Shape& x, int dim, const Shape& index,
                                 DType dtype = DType::i64) {
    c.sample(
        name, {in("x", x), in("index", index, Fill::index(x[dim])).keep(dtype)},
        [dim](const Inputs& i) { return ops::gather(i["x"], dim, i["index"]); },
        [x, dim](const Inputs& i) {
          const std::vector<double> from = i["x"].to_vector();
          std::vector<double> y = i["index"].to_vector();
          for (size_t k = 0; k < y.size(); ++k) {
            std::vector<int64_t> at = index_of(static_cast<int64_t>(k), i["index"].shape());
            at[static_cast<size_t>(x.normalized(dim))] = static_cast<int64_t>(y[k]);
            y[k] = from[static_cast<size_t>(number_of(at, x))];
          }
          return y;
        });
  };
  gather_sample("rows", {5, 3}, 0, {7, 3});
  gather_sample("classes", {6, 4}, 1, {6, 1}, DType::i32);
  gather_sample("middle, shorter", {3, 4, 5}, 1, {2, 6, 5});
  gather_sample("often the same", {2, 40}, 0, {33, 40});
  gather_sample("empty index", {3, 4}, 0, {0, 4});
  c.rejects<DTypeError>("gather: wanted an i64 or i32 index; got f32 (1)",
                        [] { ops::gather(Tensor::zeros({2}), 0, Tensor::zeros({1})); });
  c.rejects<ShapeError>("gather: wanted an index of the rank of (2, 2)", [] {
    ops::gather(Tensor::zeros({2, 2}), 0, Tensor::zeros({1}, {.dtype = DType::i64}));
  });
  c.rejects<ShapeError>("gather: wanted an index within (2, 2) except along dimension 0", [] {
    ops::gather(Tensor::zeros({2, 2}), 0, Tensor::zeros({1, 3}, {.dtype = DType::i64}));
  });
  c.rejects<DataError>("gather: wanted an index in 0..1; got 2", [] {
    ops::gather(Tensor::zeros({2}), 0, Tensor::full({1}, 2, {.dtype = DType::i64}));
  });
  c.rejects<DataError>("gather: wanted an index in 0..1; got -1", [] {
    ops::gather(Tensor::zeros({2}), 0, Tensor::full({1}, -1, {.dtype = DType::i64}));
  });
}

SING_OP_CASE(index_select) {
  c.covers({"gather", "gather_bwd"});
  const auto select_sample = [&](const char* name, const Shape& x, int dim, int64_t n) {
    c.sample(
        name, {in("x", x), in("index", {n}, Fill::index(x[dim]))},
        [dim](const Inputs& i) { return ops::index_select(i["x"], dim, i["index"]); },
        [x, dim, n](const Inputs& i) {
          const std::vector<double> from = i["x"].to_vector();
          const std::vector<double> index = i["index"].to_vector();
          const Shape out = x.with(dim, n);
          const size_t d = static_cast<size_t>(x.normalized(dim));
          std::vector<double> y;
          for (int64_t k = 0; k < out.numel(); ++k) {
            std::vector<int64_t> at = index_of(k, out);
            at[d] = static_cast<int64_t>(index[static_cast<size_t>(at[d])]);
            y.push_back(from[static_cast<size_t>(number_of(at, x))]);
          }
          return y;
        });
  };
  select_sample("rows", {5, 3}, 0, 7);
  select_sample("columns", {3, 5}, -1, 4);
  select_sample("middle", {2, 4, 3}, 1, 6);
  select_sample("vector", {9}, 0, 20);
  select_sample("nothing", {3, 4}, 0, 0);
  c.rejects<ShapeError>("index_select: wanted an index of shape (n)", [] {
    ops::index_select(Tensor::zeros({2}), 0, Tensor::zeros({1, 1}, {.dtype = DType::i64}));
  });
  c.rejects<DataError>("gather: wanted an index in 0..1; got 5", [] {
    ops::index_select(Tensor::zeros({2}), 0, Tensor::full({1}, 5, {.dtype = DType::i64}));
  });
}

}  // namespace sing::test
