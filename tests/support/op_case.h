#pragma once
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sing/core/error.h"
#include "sing/core/random.h"
#include "sing/tensor/tensor.h"

/// One OpCase per op serves every check of tests/ops (tests/ops/harness/*.cpp). A case file looks
/// so:
///
///     #include "sing/ops/norm.h"
///     #include "support/op_case.h"
///     namespace sing::test {
///     SING_OP_CASE(layer_norm) {
///       c.covers({"layer_norm_fwd", "layer_norm_bwd"});
///       c.sample("small", {in("x", {2, 5, 8}), in("weight", {8}), in("bias", {8})},
///                [](const Inputs& i) {
///                  return ops::layer_norm(i["x"], i["weight"], i["bias"], 1e-5);
///                });
///       c.rejects<ShapeError>("weight must be (8)", [] { ... });
///     }
///     }  // namespace sing::test
///
/// Tests of a case: OpCase/<name>.gradients (f64 differences, adding, planted faults), .precision
/// (f32 and bf16 against f64, both kernel paths, every layout, autocast), .slots (the slots it
/// claims are called, fast kernels serve, thread counts agree bitwise, at least 12 samples), and
/// .rejects (error class and text).
namespace sing::test {

/// How the inputs of a sample lie in memory. Every sample runs in every layout its shapes allow.
enum class Layout {
  dense,
  permuted,       ///< storage in reversed order of dimensions
  sliced,         ///< cut out of a larger tensor that is NaN (integers: huge) all around
  expanded,       ///< stride 0 along the first dimension
  channels_last,  ///< rank 4 only
};
const char* name_of(Layout layout);

/// How an input is filled. All values are exact in bf16, so every dtype sees the same numbers.
class Fill {
 public:
  static Fill normal(double scale = 1);
  static Fill uniform(double low, double high);
  static Fill positive(double low = 0.5, double high = 2) { return uniform(low, high); }
  /// Normal, but at least `margin` away from each kink (where the op has no derivative).
  static Fill away_from(std::vector<double> kinks, double margin = 0.125);
  /// No two of any 1021 elements a constant step apart are equal (for max, min, pooling). Never
  /// laid out expanded.
  static Fill distinct();
  /// Integers 0..n-1, i64 unless .keep(DType::i32); no gradient.
  static Fill index(int64_t n);
  static Fill boolean(double probability = 0.5);  ///< dtype boolean; no gradient
  static Fill values(std::vector<double> row_major);
  static Fill constant(double value);

  enum class Kind { normal, uniform, away, distinct, index, boolean, values };
  Kind kind = Kind::normal;
  double a = 1, b = 0;
  std::vector<double> list;
};

struct InputSpec {
  std::string name;
  Shape shape;
  Fill fill;
  bool differentiable = true;
  std::optional<DType> dtype;  // fixed; else the dtype under test
  bool wide = false;

  /// Floating, but no gradient is asked (statistics, masks).
  InputSpec no_grad() const;
  /// Always this dtype.
  InputSpec keep(DType fixed) const;
  /// f64 when f64 is tested, else f32 (statistics that stay wide under bf16).
  InputSpec keep_wide() const;
};
InputSpec in(std::string name, const Shape& shape, Fill fill = Fill::normal());

/// The tensors of a sample by name.
class Inputs {
 public:
  /// Throws InternalError for a name the sample does not have.
  const Tensor& operator[](const std::string& name) const;
  Tensor& at(const std::string& name);
  void add(std::string name, Tensor tensor);

 private:
  std::vector<NamedTensor> tensors_;
};

using OpFunction = std::function<Tensor(const Inputs&)>;
/// Expected output from f64 inputs by the plainest formula, row-major.
using Formula = std::function<std::vector<double>(const Inputs&)>;

struct Sample {
  std::string name;
  std::vector<InputSpec> inputs;
  OpFunction op;
  Formula formula;  // may be empty
};

struct Rejection {
  std::string wanted;
  /// Empty when the right error came, else what happened instead.
  std::function<std::string()> run;
};

/// What one case says about its op.
class OpCase {
 public:
  explicit OpCase(std::string name) : name_(std::move(name)) {}

  /// Slots this case exercises, by name; checked: they must really be called.
  void covers(std::initializer_list<const char*> slots);
  void sample(std::string name, std::vector<InputSpec> inputs, OpFunction op, Formula formula = {});
  /// `call` must throw E whose what() contains `text`.
  template <class E, class F>
  void rejects(const std::string& text, F call) {
    rejections_.push_back({text, [text, call]() -> std::string {
                             try {
                               call();
                             } catch (const E& e) {
                               const std::string what = e.what();
                               if (what.find(text) != std::string::npos) return {};
                               return "the message is: " + what;
                             } catch (const std::exception& e) {
                               return std::string("another class of error: ") + e.what();
                             }
                             return "nothing was thrown";
                           }});
  }
  /// Replaces 8 * eps * sqrt(K) for `dtype`; say why beside the call.
  void tolerance(DType dtype, double relative);
  /// K: terms of the longest sum behind any element of output or gradient. Default: the larger of
  /// the largest dimension and largest numel / smallest numel over inputs and output. It widens
  /// f32 only; narrower dtypes are summed in f32 or wider, so their bound is 8 * eps.
  void terms(double k) { terms_ = k; }
  /// Gradient elements below this size are measured against it, not against themselves: what
  /// cancels cannot be relative to what is left (output gradients are about 1). Say what cancels.
  void gradient_floor(double size) { gradient_floor_ = size; }
  double gradient_floor() const { return gradient_floor_; }
  /// Dtypes compared with f64 (default f32, bf16).
  void dtypes(std::vector<DType> list) { dtypes_ = std::move(list); }
  /// Layouts that make no sense here (say why beside the call).
  void without(Layout layout) { without_.insert(layout); }
  /// This op (not its slots as such) has no fast kernel on purpose: off any hot path.
  void plain_kernels_only() { fast_ = false; }
  bool wants_fast_kernels() const { return fast_; }
  /// Skips "same bits for 1 and 3 threads" (say why beside the call).
  void threads_may_differ() { threads_ = false; }

  const std::string& name() const { return name_; }
  const std::set<std::string>& covered() const { return covers_; }
  const std::vector<Sample>& samples() const { return samples_; }
  const std::vector<Rejection>& rejections() const { return rejections_; }
  const std::vector<DType>& dtypes() const { return dtypes_; }
  bool check_threads() const { return threads_; }
  /// The layouts of one sample, dense first.
  std::vector<Layout> layouts(const Sample& sample) const;
  /// Relative error allowed for this dtype and a sample of these sizes.
  double allowed(DType dtype, double largest_dim, double largest_to_smallest) const;

 private:
  std::string name_;
  std::set<std::string> covers_;
  std::vector<Sample> samples_;
  std::vector<Rejection> rejections_;
  std::vector<std::pair<DType, double>> tolerances_;
  std::vector<DType> dtypes_{DType::f32, DType::bf16};
  std::set<Layout> without_;
  std::optional<double> terms_;
  double gradient_floor_ = 1e-2;
  bool threads_ = true, fast_ = true;
};

using CaseBody = void (*)(OpCase&);
/// Makes the gtests of one case; called by SING_OP_CASE.
bool register_op_case(const char* name, CaseBody body, const char* file, int line);

#define SING_OP_CASE(NAME)                                                             \
  static void op_case_body_##NAME(::sing::test::OpCase& c);                            \
  [[maybe_unused]] static const bool op_case_registered_##NAME =                       \
      ::sing::test::register_op_case(#NAME, &op_case_body_##NAME, __FILE__, __LINE__); \
  static void op_case_body_##NAME([[maybe_unused]] ::sing::test::OpCase& c)

}  // namespace sing::test
