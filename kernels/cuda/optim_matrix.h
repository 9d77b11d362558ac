#pragma once
// What hosts that see a tensor as matrices need beside updates and products.
#include <cstdint>

#include "sing/core/device.h"

namespace sing::cuda {

/// out = a x + c out over n elements; out is only written where c is 0.
void combine(Stream stream, double a, const float* x, double c, float* out, int64_t n);

/// New means of the squares of g over rows and over columns, as in optim/hosts/factored.h: element
/// (i, j) of matrix (o, k) is at ((o * rows + i) * cols + j) * lanes + k, and its matrix has number
/// o * lanes + k.
struct FactorArgs {
  Stream stream;
  const float* g;
  int64_t outer, rows, cols, lanes;
  double keep, eps;
  float* row;     // by matrix and row
  float* col;     // by matrix and column
  double* means;  // by matrix: mean of the new row means
};
void update_factors(const FactorArgs& args);

}  // namespace sing::cuda
