#pragma once
// What hosts that see a tensor as matrices need beside updates and products. All tensors of a host
// are served by one launch, whose work was cut up once.
#include <cstdint>
#include <vector>

#include "kernels/cuda/optim.h"

namespace sing::cuda {

/// out = a x + c out over n elements; out is only written where c is 0.
void combine(Stream stream, double a, const float* x, double c, float* out, int64_t n);

/// out = factor x for each of `count` matrices, which lie `stride` elements apart. The factor of
/// matrix m is the first of the results of record records[m].
struct ScaleLaunch {
  Stream stream;
  const float* x;
  float* out;
  int64_t elements, stride, count;
  const int32_t* records;
  const double* results;
};
void scale_matrices(const ScaleLaunch& launch);

/// New means of the squares of g over rows and over columns, as in optim/hosts/factored.h: element
/// (i, j) of matrix (o, k) is at ((o * rows + i) * cols + j) * lanes + k, and its matrix has number
/// o * lanes + k. They stand at the start of the functor of a record, whose slots are g, the means
/// by matrix and row, and those by matrix and column.
struct FactorNumbers {
  double keep, eps;
  int64_t outer, rows, cols, lanes;
  double* means;     // by matrix: mean of the new row means
  double* partials;  // factor_partials() of them
};
/// A block's share.
struct FactorItem {
  int64_t first;  // row, column or matrix, counted over all matrices
  int32_t record;
  int32_t part;  // rows of columns: which kFactorRows of them; -1: no columns
};
inline constexpr int kFactorRows = 512;

/// Adds the work of one tensor to that of factor_sums and of factor_means.
void add_factor_items(const FactorNumbers& numbers, int32_t record, std::vector<FactorItem>& sums,
                      std::vector<FactorItem>& means);
int64_t factor_partials(const FactorNumbers& numbers);

struct FactorLaunch {
  Stream stream;
  const FactorItem* items;
  int64_t count;
  const UpdateRecord* records;
  const StepReport* report;
};
void factor_sums(const FactorLaunch& launch);
void factor_means(const FactorLaunch& launch);

}  // namespace sing::cuda
