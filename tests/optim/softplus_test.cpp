#include "optim/softplus.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sing::optim {
namespace {

double exact(double x, double beta) {
  return static_cast<double>(
      std::log1p(std::exp(static_cast<long double>(x) * static_cast<long double>(beta))) /
      static_cast<long double>(beta));
}

TEST(Softplus, IsAccurateInBothTypes) {
  double worst_float = 0, worst_ratio = 0, worst_double = 0;
  for (const double beta : {1.0, 20.0, 50.0})
    for (int i = 0; i <= 4000; ++i) {
      const double x = i == 0 ? 0.0 : std::pow(10.0, -12 + 13.0 * i / 4000) / beta * 20;
      const float xf = static_cast<float>(x);
      if (x * beta > 20) {  // the identity there, by definition
        EXPECT_EQ(Softplus<double>(beta)(x), x);
        continue;
      }
      const double f = exact(static_cast<double>(xf), beta);
      const Softplus<float> soft(beta);
      worst_float = std::max(worst_float, std::abs(static_cast<double>(soft(xf)) - f) / f);
      worst_ratio =
          std::max(worst_ratio, std::abs(static_cast<double>(soft.divide(3, xf)) * f / 3 - 1));
      const double d = exact(x, beta);
      worst_double = std::max(worst_double, std::abs(Softplus<double>(beta)(x) - d) / d);
    }
  // The fit is good to 2.6e-7, rounding adds two units of the last place of a f32 for each of the
  // two polynomials, and one for the division.
  EXPECT_LT(worst_float, 6e-7);
  EXPECT_LT(worst_ratio, 7e-7);
  EXPECT_LT(worst_double, 4e-16);
  EXPECT_NEAR(Softplus<double>(50)(0.0), 0.013862943611198906, 1e-17);
  EXPECT_EQ(Softplus<float>(50)(1e30f), 1e30f);
  EXPECT_TRUE(std::isinf(Softplus<float>(50)(INFINITY)));
  EXPECT_EQ(Softplus<float>(50).divide(2, INFINITY), 0);
  EXPECT_TRUE(std::isnan(Softplus<float>(50).divide(2, NAN)));
  EXPECT_EQ(Softplus<double>(50).divide(0.5, 0.25), 0.5 / Softplus<double>(50)(0.25));
  EXPECT_TRUE(std::isnan(Softplus<float>(50)(NAN)));
}

}  // namespace
}  // namespace sing::optim
