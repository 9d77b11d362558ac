#pragma once
// What the kernels of an optimizer step share: the table of a step in device memory, and how the
// tensors of a model are cut into work. All tensors of a run are served by one launch.
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/element.h"
#include "sing/core/device.h"

namespace sing::cuda {

/// Elements of one item of work of an update: 64 KiB of each stream.
inline constexpr int kChunkElements = 16384;
/// Elements a block measures at once: it holds them in registers.
inline constexpr int kPieceElements = 8192;
inline constexpr int kOptimThreads = 256;
inline constexpr int kOptimBlocks = 3;  // per multiprocessor, all resident: 80 registers each
inline constexpr size_t kRuleBytes = 128;
inline constexpr int kRecordSlots = 3;
inline constexpr int kChunkSums = 4;  // and results of a tensor

/// Mean of a row of a gradient, and the sum of squares of what is left without it.
struct RowNumbers {
  double mean, squares;
};
/// Norms of a gradient, as it came and without the means of its rows; both with row scales.
struct TensorNumbers {
  double raw_norm, centred_norm;
};
/// g' = (g - mean of its row) * scale of its row * scale; times first_moment in a first moment.
struct MapNumbers {
  double scale, first_moment;
};

/// One tensor in one pass of a step. Pointers are to its first element.
struct UpdateRecord {
  void* value;
  const void* gradient;
  void* slots[kRecordSlots];
  void* working;            // bf16 copy of the value, or nullptr
  void* slow;               // of LookAhead
  void* average;            // of the weights
  const RowNumbers* rows;   // means to subtract, or nullptr
  const double* row_scale;  // or nullptr
  const MapNumbers* map;    // nullptr: 1 and 1
  int64_t row_length;       // elements that share a mean or a row scale
  double coupled, decay;    // g' += coupled * theta; theta *= 1 - decay
  int32_t rule;             // which launch of the pass takes this tensor; -1: none
  int32_t aligned;          // all pointers to 16 bytes
  int32_t written;          // the gradient is g' already, but for first_moment
  alignas(16) unsigned char functor[kRuleBytes];
};

/// What happens behind the update, in the order of the members.
struct PostNumbers {
  double alpha, weight;
  int32_t synchronise, average;
};

/// Elements [begin, begin + count) of the tensor of a record; the first one is number first_offset
/// of row first_row.
struct Chunk {
  int64_t begin, first_row, first_offset;
  int32_t record, count;
};
/// The chunks of one record.
struct ChunkSpan {
  int64_t first, count;
};

/// Of the gradients of a step. Once `nonfinite` is set nothing changes any more until the host
/// clears it, so that steps queued behind it are left out too.
struct StepReport {
  int32_t nonfinite;
  int32_t first_nonfinite;  // index of a tensor
  int64_t applied;          // steps since the host last asked
  int64_t tensors;
  double global_norm;
};

/// One launch over all chunks of a host; those of other rules are passed over.
struct UpdateLaunch {
  Stream stream;
  const Chunk* chunks;
  int64_t count;
  const UpdateRecord* records;
  const StepReport* report;  // nullptr: nothing is ever left out
  const PostNumbers* post;   // nullptr: nothing follows
  double* results;           // by record, kChunkSums of each: what was made of sums
  // Of measuring passes.
  double* sums;            // by chunk, kChunkSums of each
  const ChunkSpan* spans;  // by record
  unsigned* tickets;       // by record and one behind them; zero between launches
  int32_t record_count;
  int32_t rule;
};
using UpdateLauncher = void (*)(const UpdateLaunch&);

/// Rows of one tensor, or a cut of one row.
struct MeasurePiece {
  int64_t first;  // element
  int64_t slot;   // of the first row (or the cut) among the row numbers
  int32_t tensor;
  int32_t rows, length;
  int32_t centre;
};
/// How the pieces of one tensor are put together.
struct MeasureLayout {
  int64_t rows, row_length;
  int64_t cuts;       // pieces of one row
  int64_t first_row;  // among the row numbers
  int64_t first_cut;  // among those of cuts, where there are several
  int64_t first_piece, pieces;
  int32_t centre;
};

struct MeasureLaunch {
  Stream stream;
  const void* const* sources;  // by tensor; nullptr: no gradient
  const MeasurePiece* pieces;
  int64_t piece_count;
  const MeasureLayout* layouts;
  int64_t tensors;
  RowNumbers* rows;
  RowNumbers* cuts;
  double* partials;  // two by piece: squares without and with the means
  TensorNumbers* out;
};
/// Norms of f32 tensors, and of their rows where those are asked for; sums in double, in an order
/// that depends on the shapes only.
void measure_tensors(const MeasureLaunch& launch);

/// The rule of tensors that only what follows an update touches.
void launch_unchanged(const UpdateLaunch& launch);
/// Writes g', clamped to +- the float at the start of the functor, in place of the value.
void launch_write_gradient(const UpdateLaunch& launch);

}  // namespace sing::cuda
