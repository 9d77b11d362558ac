#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sing/core/export.h"

// What a run looks like in text: pure functions from numbers to lines, so that tests can compare
// them; sing/train/console.h decides when and where they are shown.
namespace sing::train {

/// Everything the moving part of the display says.
struct Progress {
  int64_t step = 0, total_steps = 0;  ///< total 0: not known (a run of wall-clock length)
  double epoch = 0, total_epochs = 0;
  double loss = 0, learning_rate = 0;
  double raw_norm = 0, raw_norm_ratio = 1;       ///< before SING; over the running median
  double samples_per_second = 0, data_wait = 0;  ///< share of the time
  double elapsed = 0;
  std::optional<double> remaining;  ///< seconds
  double memory_gib = 0;
  std::string best;  ///< "depth_accuracy 81.2 % @ step 4 704"; empty before the first
  std::optional<double> next_checkpoint;  ///< seconds
};

/// "4 760": digits in groups of three.
SING_API std::string grouped(int64_t value);
/// Three significant digits: "44 100", "12.3", "0.00184", "5e-02".
SING_API std::string short_number(double value);
/// "1m03s", "2h05m", "14s".
SING_API std::string short_time(double seconds);
/// "0:01:03".
SING_API std::string clock_time(double seconds);
/// "2026-11-21T17:09:02Z".
SING_API std::string utc_time(double seconds_since_1970);
/// "91.0 %" for shares, else short_number.
SING_API std::string metric_text(double value, bool share);

/// The three lines that stay in place at the bottom of a terminal, each at most `columns` wide.
SING_API std::vector<std::string> bar_lines(const Progress& progress, int columns);

using Fields = std::vector<std::pair<std::string, std::string>>;
/// "2026-11-21T17:10:03Z train  step=4760/9800 ...": values with blanks are quoted.
SING_API std::string event_line(const std::string& time, const std::string& event,
                                const Fields& fields);
/// The fields of a `train` line.
SING_API Fields progress_fields(const Progress& progress);

}  // namespace sing::train
