#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sing/config/schema.h"
#include "sing/optim/kinds.h"
#include "sing/optim/param_table.h"

namespace sing::optim {

/// What one mean is taken over: the elements of an output row, or of the whole tensor.
enum class Scope : uint8_t { row, tensor };
inline config::EnumNames<Scope> enum_names(Scope) {
  return {{"row", Scope::row}, {"tensor", Scope::tensor}};
}

/// Of one row of a gradient (or of the whole of it), in double.
struct RowStatistics {
  double mean = 0;            ///< 0 where means were not asked for
  double sum_of_squares = 0;  ///< of (g - mean)
};

/// g' = (g - mean[row]) * row_scale[row] * scale: what a chain of affine stages does to one tensor.
struct Affine {
  const RowStatistics* rows = nullptr;  ///< means to subtract; nullptr: none
  const double* row_scale = nullptr;    ///< nullptr: 1
  int64_t row_length = 1;               ///< elements that share a mean or a row_scale
  double scale = 1;
  double first_moment = 1;  ///< factor on g' where it goes into a first moment (AdaNorm)

  bool centred() const { return rows != nullptr; }
};

/// What is measured of one gradient in one deterministic pass before anything is applied.
struct TensorStatistics {
  bool present = false;                 ///< false: no gradient, all else is meaningless
  double raw_norm = 0;                  ///< Euclidean norm of g
  double centred_norm = 0;              ///< of g - mean, where means were asked for; else raw_norm
  std::span<const RowStatistics> rows;  ///< empty when the stages ask for norms only
  int64_t row_length = 1;
};

/// Norm of one row of g, or of (g - mean).
SING_API double row_norm(const TensorStatistics& statistics, size_t row, bool centred);
/// Norm of g' of a tensor: of (g - mean) * row_scale * scale, or of g while nothing is centred.
SING_API double norm_under(const Affine& affine, const TensorStatistics& statistics);

/// The rows a stage wants measured, and whether it subtracts their means.
struct RowRequest {
  Scope scope = Scope::row;
  bool centre = false;
};

/// What a stage does, in the words of the kernels of a device (optim/stage_math.h has the numbers).
struct StageRule {
  enum class Kind : uint8_t {
    centre,       ///< subtract the means of tensors whose rows() say so
    normalize,    ///< eps
    clip_tensor,  ///< max_norm
    clip_global,  ///< max_norm
    agc,          ///< clip_factor, eps; by the units of rows()
    adanorm,      ///< r; numbers() holds the average lengths
    clip_value,   ///< max_value; not affine
  };
  Kind kind;
  double a = 0, b = 0;
};

/// A stage ahead of the host. Affine stages never touch the gradient: they say what they want
/// measured and then change the description of g'. A chain of them collapses to one description.
/// Other stages get g' of the stages before them written out, and change that.
class SING_API GradientTransform {
 public:
  virtual ~GradientTransform();
  virtual bool affine() const { return true; }
  /// What this stage needs measured of such a tensor beside its norm, if anything.
  virtual std::optional<RowRequest> rows(const TensorMeta&) const { return std::nullopt; }
  /// Changes the maps of all present tensors (`statistics`, `maps` by index of the table).
  /// `maps[i].rows` may be set to `statistics[i].rows` by a stage that asked to centre. Called once
  /// per step, for gradients that are finite.
  virtual void finish(const ParamTable& /*table*/, std::span<const TensorStatistics> /*statistics*/,
                      std::span<Affine> /*maps*/) {}
  /// Only when not affine: changes g' of tensor i in place (dense, in storage order).
  virtual void apply(size_t /*i*/, const TensorMeta&, Tensor& /*gradient*/) {}
  /// Makes the length of the gradient irrelevant; a chain has at most one such stage.
  virtual bool normalizes() const { return false; }
  /// Multiplies whole tensors by a positive number at most; cancelled by a normaliser behind it.
  virtual bool only_scales() const { return false; }
  /// Nothing may stand between this stage and the host.
  virtual bool must_be_last() const { return false; }
  /// Before the first step.
  virtual void attach(const ParamTable&) {}
  virtual void visit_state(StateVisitor&) {}
  /// The same for tensors on a device, in order; attach() was called, finish() and apply() are not.
  /// Throws NotImplementedError unless overridden.
  virtual std::vector<StageRule> rules() const;
  /// State of the stage, one number per tensor of the table, kept on the device between steps.
  virtual std::span<double> numbers() { return {}; }
};

}  // namespace sing::optim
