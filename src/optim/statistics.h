#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sing/optim/param_table.h"
#include "sing/optim/transform.h"

namespace sing::optim {

/// Measures all gradients in one pass: per tensor the norm, and where a stage asks for it the norms
/// of rows, their means and the norm of the centred values. Pieces and the order of sums depend on
/// the shapes only. Numerics: means and sums of squares in double; the squares are those of the
/// values that will be used, (g - mean) in the dtype of the gradient, on data that is still in
/// cache. Rows cut in pieces are merged after Chan, Golub and LeVeque. A constant row gives exactly
/// 0.
class StatisticsPass {
 public:
  /// `requests[i]`: what is measured of the rows of tensor i, if anything.
  StatisticsPass(const ParamTable& table, std::span<const std::optional<RowRequest>> requests);
  /// `gradients[i]`: first element of the gradient of tensor i, nullptr when it is missing.
  void run(std::span<const void* const> gradients);
  std::span<const TensorStatistics> results() const { return results_; }

 private:
  struct Layout {
    bool by_row, centre;
    int64_t rows, row_length, cuts;  // cuts: pieces of one row
    size_t first_slot;
  };
  struct Piece {
    size_t tensor, slot;
    int64_t first, rows, length;  // first element; rows of `length` elements each
  };
  void finish(size_t tensor);

  DType dtype_;
  std::vector<Layout> layouts_;
  std::vector<Piece> pieces_;
  std::vector<RowStatistics> slots_;
  std::vector<TensorStatistics> results_;
};

}  // namespace sing::optim
