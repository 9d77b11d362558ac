#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sing/core/export.h"
#include "sing/core/json.h"

namespace sing::train {

/// metrics.jsonl, the one source of truth for numbers: one flushed line per record, names
/// `group/name`, `step` counts updates. A kill leaves at most one torn last line.
class SING_API MetricsLog {
 public:
  /// Appends; starts a new line first when the file ends in a torn one.
  /// Throws CheckpointError E0401 when the file cannot be opened.
  explicit MetricsLog(const std::string& path);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  struct Position {
    int64_t step = 0;
    double epoch = 0;
    int64_t samples = 0;
  };
  using Values = std::vector<std::pair<std::string, double>>;
  /// {"t": seconds since 1970, "step": .., "epoch": .., "samples": .., values...}; a value that is
  /// not finite is written as null.
  void write(const Position& position, const Values& values);
  /// {"t": .., "event": "resume", "step": ..}: readers drop records after that step from above it.
  void resume_at(int64_t step);

 private:
  void append(const std::string& line);
  int file_ = -1;
  bool failed_ = false;
};

/// One record as a reader sees it: the position and the named numbers.
struct MetricsRecord {
  MetricsLog::Position position;
  MetricsLog::Values values;
};
/// Reads a log: torn last line ignored, records superseded by a resume dropped. An absent file has
/// no records. Throws DataError E0301/E0302 for a file that cannot be read.
SING_API std::vector<MetricsRecord> read_metrics(const std::string& path);
/// The points (step, value) of one name.
SING_API std::vector<std::pair<double, double>> series(const std::vector<MetricsRecord>& records,
                                                       const std::string& name);

}  // namespace sing::train
