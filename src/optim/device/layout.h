#pragma once
// How the tensors of a table are cut into the work of kernels; from shapes alone.
#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cuda/optim.h"
#include "sing/optim/transform.h"

namespace sing::optim {

/// The pieces of a measuring pass, and where its results lie.
struct MeasurePlan {
  std::vector<cuda::MeasurePiece> pieces;
  std::vector<cuda::MeasureLayout> layouts;  // by tensor
  int64_t rows = 0, cuts = 0;                // row numbers in all

  MeasurePlan(const ParamTable& table, std::span<const std::optional<RowRequest>> requests) {
    for (size_t i = 0; i < table.size(); ++i) add(i, table.meta(i), requests[i]);
  }

 private:
  void add(size_t i, const TensorMeta& meta, const std::optional<RowRequest>& request) {
    constexpr int64_t kPiece = cuda::kPieceElements;
    cuda::MeasureLayout l{};
    l.rows = request && request->scope == Scope::row ? meta.rows : 1;
    l.row_length = l.rows == 0 ? 0 : meta.numel() / l.rows;
    if (l.row_length == 0) l.rows = 0;
    l.cuts = std::max<int64_t>(1, (l.row_length + kPiece - 1) / kPiece);
    l.first_row = rows;
    l.first_cut = cuts;
    l.centre = request && request->centre;
    l.first_piece = static_cast<int64_t>(pieces.size());
    const int64_t at_once =
        l.cuts > 1 ? 1 : std::max<int64_t>(1, kPiece / std::max<int64_t>(1, l.row_length));
    for (int64_t row = 0; row < l.rows; row += at_once)
      for (int64_t cut = 0; cut < l.cuts; ++cut) {
        const int64_t begin = cut * kPiece;
        pieces.push_back({.first = row * l.row_length + begin,
                          .slot = l.cuts > 1 ? cuts + row * l.cuts + cut : rows + row,
                          .tensor = static_cast<int32_t>(i),
                          .rows = static_cast<int32_t>(std::min(at_once, l.rows - row)),
                          .length = static_cast<int32_t>(
                              l.cuts == 1 ? l.row_length : std::min(kPiece, l.row_length - begin)),
                          .centre = l.centre});
      }
    l.pieces = static_cast<int64_t>(pieces.size()) - l.first_piece;
    rows += l.rows;
    if (l.cuts > 1) cuts += l.rows * l.cuts;
    layouts.push_back(l);
  }
};

/// The chunks of an update, the tensors in the opposite order of the measuring pass: the last
/// gradients measured are still in cache. Records are numbered from 0 in the order of `tensors`;
/// rows are those of `measured`.
inline std::vector<cuda::Chunk> update_chunks(const ParamTable& table,
                                              std::span<const size_t> tensors,
                                              const MeasurePlan& measured) {
  constexpr int64_t kChunk = cuda::kChunkElements;
  std::vector<cuda::Chunk> chunks;
  for (size_t k = tensors.size(); k-- > 0;) {
    const int64_t numel = table.meta(tensors[k]).numel();
    if (numel == 0) continue;
    const int64_t row = measured.layouts[tensors[k]].row_length;
    for (int64_t begin = (numel - 1) / kChunk * kChunk; begin >= 0; begin -= kChunk)
      chunks.push_back({begin, begin / row, begin % row, static_cast<int32_t>(k),
                        static_cast<int32_t>(std::min(kChunk, numel - begin))});
  }
  return chunks;
}

}  // namespace sing::optim
