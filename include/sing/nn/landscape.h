#pragma once
#include <string>
#include <vector>

#include "sing/nn/loss.h"

namespace sing::nn {

/// A loss that is a function of one number, which the model puts out (model `point`): for looking
/// at what an optimizer does. Targets play no part. A run with it draws trajectory.svg.
class SING_API Landscape : public Loss {
 public:
  struct Minimum {
    double x;
    const char* label;
  };
  void check(Head head) const override;
  virtual double at(double x) const = 0;
  /// Where the function is worth drawing.
  virtual double low() const = 0;
  virtual double high() const = 0;
  /// From left to right.
  virtual std::vector<Minimum> minima() const = 0;
  /// Run folder whose iterates are drawn too; empty: none.
  virtual const std::string& beside() const = 0;
};

/// In the manner of figure 1 of the SING paper, which gives no formula: a bowl about 1.5 with two
/// narrow wells on its left side,
///   f(x) = (x - 1.5)^2 / 4 - 1.3 exp(-(x + 3.2)^2 / (2 * 0.18^2)) - 1.2 exp(-(x + 1.2)^2 / (2 *
///   0.3^2))
/// Minima at -3.139, -1.097 and 1.5; the first two are left past the rises at -2.853 and -0.593.
struct ThreeMinimaOptions {
  std::string beside;
  static void describe(config::Fields<ThreeMinimaOptions>& f);
};

}  // namespace sing::nn
