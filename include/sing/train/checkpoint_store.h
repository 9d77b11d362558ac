#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sing/core/error.h"
#include "sing/core/export.h"
#include "sing/core/file_system.h"
#include "sing/core/json.h"
#include "sing/core/result.h"
#include "sing/tensor/tensor.h"

namespace sing::train {

// A checkpoint is a folder step-00012000/ of model.safetensors, optimizer.safetensors, state.json
// and, written last, manifest.json: format version, step, score, and of each file its length,
// SHA-256 and the CRC-32C of its tensors. The manifest ends with a checksum of itself, so that no
// single changed bit anywhere goes unseen. Beside the folders lie two symbolic links, `last` and
// `best`: for people and for `sing eval`. Resuming never believes them, it looks at the folders.

struct CheckpointContents {
  std::map<std::string, Tensor> model;      ///< parameters and buffers
  std::map<std::string, Tensor> optimizer;  ///< "parameter/stage/slot"
  JsonValue state = JsonValue::object();    ///< everything else
};

struct LoadedCheckpoint {
  int64_t step = 0;
  std::string path;
  std::optional<double> score;
  CheckpointContents contents;
  /// One line for each newer folder that could not be used, newest first.
  std::vector<std::string> passed_over;
};

enum class CheckpointParts : uint8_t { all, model };

/// Reads one folder (or a link to one) and compares every byte with the manifest; the fault is one
/// line. With `model` only model.safetensors and the manifest are read.
SING_API Result<LoadedCheckpoint> try_load_checkpoint(FileSystem& files, const std::string& path,
                                                      CheckpointParts parts = CheckpointParts::all);
/// The same; throws CheckpointError E0402.
SING_API LoadedCheckpoint load_checkpoint(const std::string& path,
                                          CheckpointParts parts = CheckpointParts::all);

struct CheckpointRetention {
  int keep_last = 2;       ///< newest usable ones; two are kept whatever this says
  int keep_best = 1;       ///< by score
  int64_t keep_every = 0;  ///< multiples of this many steps stay for ever; 0: none
  bool higher_is_better = true;
};

struct SavedCheckpoint {
  int64_t step = 0;
  std::string path;
  uint64_t bytes = 0;
  double seconds = 0;  ///< to write, make durable and read back
  bool is_best = false;
};

/// The folder checkpoints/ of a run. One thread, and one process: hold the run's lock.
class SING_API CheckpointStore {
 public:
  CheckpointStore(FileSystem& files, std::string folder, CheckpointRetention retention = {});

  /// Ends what a crash interrupted and removes leftovers. Call it once before saving; not from a
  /// program that only reads (the run may be busy).
  void recover();

  /// Writes a checkpoint durably, reads it back, moves `last` and `best`, prunes. A checkpoint of
  /// the same step is replaced. Throws CheckpointError E0401 (not writable) or E0405 (what was read
  /// back differs); all older checkpoints are then as they were. `score` is what "best" goes by;
  /// NaN is never best, of equal ones the earlier is.
  SavedCheckpoint save(int64_t step, const CheckpointContents& contents,
                       std::optional<double> score = std::nullopt);

  /// The newest folder that is whole, or nothing when there is none at all. Throws CheckpointError
  /// E0402 with every reason when there are some but none is usable.
  std::optional<LoadedCheckpoint> load_newest() const;
  /// Throws CheckpointError E0402.
  LoadedCheckpoint load_step(int64_t step) const;
  /// Steps of all checkpoint folders, whole or not, ascending.
  std::vector<int64_t> steps() const;
  /// The step with the best score among usable ones.
  std::optional<int64_t> best_step();
  std::string path_of(int64_t step) const;

  /// Throws CheckpointError E0403 unless `count` more checkpoints of `bytes` would fit.
  void check_room(uint64_t bytes, int count = 2) const;

 private:
  bool usable(int64_t step);
  std::vector<int64_t> best_steps(int count);
  void point(const char* link, int64_t step);
  void prune();

  struct Known {
    bool usable = false;
    std::optional<double> score;
  };
  const Known& known(int64_t step);

  FileSystem& files_;
  std::string folder_;
  CheckpointRetention retention_;
  std::map<int64_t, Known> known_;  // verified by this process
};

/// "step-00012000"; and back, nothing for any other name.
SING_API std::string checkpoint_name(int64_t step);
SING_API std::optional<int64_t> step_of_checkpoint(const std::string& name);

/// What a trainer does about saves that fail: it goes on and tries again at the next interval, and
/// gives up when too many have failed in a row.
class SING_API SaveFailures {
 public:
  explicit SaveFailures(int limit = 5) : limit_(limit) {}
  void succeeded() { count_ = 0; }
  /// Counts; throws CheckpointError E0404 at the limit, with the last reason.
  void failed(const Error& reason);
  int count() const { return count_; }

 private:
  int limit_;
  int count_ = 0;
};

}  // namespace sing::train
