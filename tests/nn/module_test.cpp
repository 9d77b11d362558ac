#include "sing/nn/module.h"

#include <gtest/gtest.h>

#include <set>

#include "sing/core/error.h"
#include "sing/core/thread_pool.h"
#include "sing/nn/context.h"
#include "sing/nn/freeze.h"
#include "sing/nn/load.h"
#include "sing/optim/param_table.h"

namespace sing::nn {
namespace {

class Leaf : public Module {
 public:
  explicit Leaf(int64_t n)
      : weight(parameter("weight", {n, 3}, Init::normal(1), Tag::weight)),
        bias(parameter("bias", {n}, Init::zeros(), Tag::bias)),
        mean(buffer("running_mean", {n}, 0.5)),
        steps(buffer("num_batches_tracked", {}, 0, DType::i64)) {}
  uint64_t hash() const { return path_hash(); }
  Parameter &weight, &bias;
  Tensor &mean, &steps;
};

class Pair : public Module {
 public:
  Pair()
      : first(child<Leaf>("first", 2)),
        second(child<Leaf>("list.1", 4)),
        scale(parameter("scale", {4}, Init::ones(), Tag::weight | Tag::norm)) {
    scale.keep_wide = true;
  }
  Leaf &first, &second;
  Parameter& scale;
};

class Root : public Module {
 public:
  Root() : pair(child<Pair>("pair")), extra(child<Leaf>("extra", 3)) {}
  Pair& pair;
  Leaf& extra;
};

std::vector<std::string> names(Module& m) {
  std::vector<std::string> result;
  for (const Parameter* p : m.parameters()) result.push_back(p->name);
  return result;
}

TEST(Module, NamesAreFullPathsDepthFirst) {
  Root root;
  EXPECT_EQ(names(root),
            (std::vector<std::string>{"pair.scale", "pair.first.weight", "pair.first.bias",
                                      "pair.list.1.weight", "pair.list.1.bias", "extra.weight",
                                      "extra.bias"}));
  EXPECT_EQ(root.pair.second.path(), "pair.list.1");
  EXPECT_EQ(root.pair.second.hash(), hash_name("pair.list.1", 11));
  EXPECT_EQ(root.parameter_count(), 4 + 8 + 16 + 12);
  EXPECT_FALSE(root.initialized());
  EXPECT_TRUE(root.buffers().empty());
  root.initialize(1);
  EXPECT_TRUE(root.initialized());
  ASSERT_EQ(root.buffers().size(), 6u);
  EXPECT_EQ(root.buffers()[0].name, "pair.first.running_mean");
  EXPECT_EQ(root.extra.mean.to_vector(), std::vector<double>(3, 0.5));
  EXPECT_EQ(root.extra.steps.dtype(), DType::i64);
}

TEST(Module, ValuesDependOnSeedAndNameOnly) {
  Root a, b;
  a.initialize(7);
  set_num_threads(3);
  b.initialize(7);
  set_num_threads(1);
  EXPECT_EQ(a.pair.first.weight.value.to_vector(), b.pair.first.weight.value.to_vector());
  EXPECT_EQ(a.pair.first.weight.value.to_vector()[0],
            static_cast<float>(random_normal({.seed = 7,
                                              .purpose = Purpose::initial_weights,
                                              .epoch = 0,
                                              .position = hash_name("pair.first.weight", 17)},
                                             0)));
  EXPECT_NE(a.pair.first.weight.value.to_vector()[0], a.extra.weight.value.to_vector()[0]);
  b.initialize(8);
  EXPECT_NE(a.extra.weight.value.to_vector(), b.extra.weight.value.to_vector());
}

TEST(Module, ToConvertsMastersAndFloatingBuffers) {
  Root root;
  root.initialize(1);
  const std::vector<double> before = root.extra.weight.value.to_vector();
  root.to(DType::f64);
  EXPECT_EQ(root.extra.weight.value.dtype(), DType::f64);
  EXPECT_EQ(root.extra.weight.value.to_vector(), before);
  EXPECT_TRUE(root.extra.weight.working.same_as(root.extra.weight.value));
  EXPECT_TRUE(root.extra.weight.working.requires_grad());
  EXPECT_EQ(root.extra.mean.dtype(), DType::f64);
  EXPECT_EQ(root.extra.steps.dtype(), DType::i64);
  EXPECT_THROW(root.to(DType::i32), DTypeError);
}

TEST(Module, PrecisionMakesWorkingCopiesThatKeepTheGradient) {
  Root root;
  root.initialize(1);
  const optim::ParamTable table(root.parameters());
  const void* gradient = root.extra.weight.grad().raw();
  root.set_precision(DType::bf16);
  Parameter& w = root.extra.weight;
  EXPECT_EQ(w.working.dtype(), DType::bf16);
  EXPECT_EQ(w.value.dtype(), DType::f32);
  EXPECT_TRUE(root.pair.scale.working.same_as(root.pair.scale.value));
  ASSERT_TRUE(w.grad().defined());
  EXPECT_EQ(w.grad().dtype(), DType::f32);
  EXPECT_EQ(w.grad().raw(), gradient);
  w.value.fill(3);
  EXPECT_NE(w.working.to_vector()[0], 3);
  root.sync_working();
  EXPECT_EQ(w.working.to_vector()[0], 3);
  root.set_precision(DType::f32);
  EXPECT_TRUE(w.working.same_as(w.value));
  EXPECT_EQ(w.grad().raw(), gradient);
  EXPECT_THROW(root.set_precision(DType::f64), DTypeError);
}

TEST(Module, TrainReachesEveryModule) {
  Root root;
  EXPECT_TRUE(root.training());
  root.train(false);
  for (const Module* m : root.modules()) EXPECT_FALSE(m->training());
  EXPECT_EQ(root.modules().size(), 5u);
}

struct Collect : StateVisitor {
  std::set<std::string> names;
  void visit(const std::string& name, Tensor& t) override {
    names.insert(name);
    if (name == "extra.bias") t.fill(9);
  }
  void visit(const std::string&, int64_t&) override {}
  void visit(const std::string&, double&) override {}
};

TEST(Module, StateHasMastersAndBuffers) {
  Root root;
  root.initialize(1);
  Collect collect;
  root.visit_state(collect);
  EXPECT_EQ(collect.names.size(), 7u + 6u);
  EXPECT_TRUE(collect.names.contains("pair.list.1.num_batches_tracked"));
  EXPECT_EQ(root.extra.bias.value.to_vector()[0], 9);
}

TEST(Freeze, ByTagAndName) {
  Root root;
  root.initialize(1);
  EXPECT_EQ(freeze(root, {.tags = static_cast<uint32_t>(Tag::bias), .names = {"pair.*"}}), 2);
  EXPECT_FALSE(root.pair.first.bias.trainable);
  EXPECT_FALSE(root.pair.first.bias.working.requires_grad());
  EXPECT_TRUE(root.extra.bias.trainable);
  EXPECT_EQ(root.trainable_count(), root.parameter_count() - 6);
  EXPECT_EQ(unfreeze(root, {.tags = 0, .names = {"*"}}), 7);
  EXPECT_TRUE(root.pair.first.bias.working.requires_grad());
  EXPECT_EQ(freeze(root, {.tags = 0, .names = {"nothing*"}}), 0);
}

TEST(Freeze, BeforeInitialisation) {
  Root root;
  EXPECT_EQ(freeze_norm_affine(root), 1);
  root.initialize(1);
  EXPECT_FALSE(root.pair.scale.working.requires_grad());
}

TEST(Freeze, Patterns) {
  EXPECT_TRUE(fits_pattern("blocks.3.attn.qkv.weight", "blocks.*.qkv.*"));
  EXPECT_TRUE(fits_pattern("a", "*a*"));
  EXPECT_TRUE(fits_pattern("abab", "*ab"));
  EXPECT_TRUE(fits_pattern("", "*"));
  EXPECT_FALSE(fits_pattern("abc", "ab"));
  EXPECT_FALSE(fits_pattern("ab", "abc"));
  EXPECT_FALSE(fits_pattern("blocks.3.norm", "blocks.*.attn*"));
}

TEST(Freeze, TagNames) {
  for (const Tag tag : all_tags()) EXPECT_EQ(tag_from_name(name_of(tag)), tag);
  EXPECT_FALSE(tag_from_name("nothing").has_value());
  EXPECT_EQ(tags_text(Tag::norm | Tag::weight), "weight, norm");
}

TEST(Load, ReportsEverythingTogetherAndWritesNothing) {
  Root root;
  root.initialize(1);
  std::map<std::string, Tensor> tensors;
  for (auto& [name, tensor] : named_tensors(root)) tensors[name] = Tensor::zeros(tensor.shape());
  tensors.erase("extra.weight");
  tensors.erase("extra.num_batches_tracked");  // may be absent
  tensors["other.weight"] = Tensor::zeros({2});
  tensors["extra.bias"] = Tensor::zeros({4});
  const LoadReport report = compare_parameters(root, tensors);
  EXPECT_EQ(report.missing, std::vector<std::string>{"extra.weight"});
  EXPECT_EQ(report.unexpected, std::vector<std::string>{"other.weight"});
  ASSERT_EQ(report.misshapen.size(), 1u);
  EXPECT_EQ(report.text(),
            "missing (1): extra.weight\nunexpected (1): other.weight\n"
            "misshapen (1): extra.bias wanted (3), got (4)");
  const std::vector<double> before = root.pair.first.weight.value.to_vector();
  try {
    load_parameters(root, tensors);
    FAIL();
  } catch (const CheckpointError& e) {
    EXPECT_EQ(e.code(), "E0410");
    EXPECT_NE(std::string(e.what()).find("unexpected (1): other.weight"), std::string::npos);
  }
  EXPECT_EQ(root.pair.first.weight.value.to_vector(), before);
  EXPECT_EQ(load_parameters(root, tensors, LoadMode::partial).loaded.size(), 7u + 6u - 3u);
  EXPECT_EQ(root.pair.first.weight.value.to_vector(), std::vector<double>(6, 0.0));
}

TEST(Load, ConvertsAndRefreshesWorkingCopies) {
  Root from, to;
  from.initialize(1);
  to.initialize(2);
  from.to(DType::f64);
  to.set_precision(DType::bf16);
  EXPECT_TRUE(load_parameters(to, named_tensors(from)).complete());
  EXPECT_EQ(to.extra.weight.value.to_vector(), from.extra.weight.value.to_vector());
  EXPECT_NEAR(to.extra.weight.working.to_vector()[0], from.extra.weight.value.to_vector()[0],
              0.01 * std::abs(from.extra.weight.value.to_vector()[0]));  // bf16 has 8 bits
}

TEST(Load, LongListsAreCut) {
  LoadReport report;
  for (int i = 0; i < 10; ++i) report.missing.push_back("p" + std::to_string(i));
  EXPECT_EQ(report.text(2), "missing (10): p0, p1, and 8 more");
}

TEST(ForwardContext, NestsAndIsNeeded) {
  EXPECT_FALSE(ForwardContext::current().has_value());
  EXPECT_THROW(dropout_key(5, "drop"), InternalError);
  {
    const ForwardContext outer(1, 10);
    {
      const ForwardContext inner(1, 11);
      EXPECT_EQ(dropout_key(5, "drop").epoch, 11u);
    }
    const RandomKey key = dropout_key(5, "drop");
    EXPECT_EQ(key.seed, 1u);
    EXPECT_EQ(key.epoch, 10u);
    EXPECT_EQ(key.position, 5u);
    EXPECT_EQ(key.purpose, Purpose::dropout);
  }
  EXPECT_FALSE(ForwardContext::current().has_value());
}

}  // namespace
}  // namespace sing::nn
